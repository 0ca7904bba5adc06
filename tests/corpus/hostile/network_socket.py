import socket


def reward(state, action, next_state):
    return socket.create_connection(("example.com", 80))
