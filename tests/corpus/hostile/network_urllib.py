import urllib.request


def reward(state, action, next_state):
    return urllib.request.urlopen("http://example.com")
