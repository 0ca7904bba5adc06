# -*- coding: utf-7 -*-
def reward(state, action, next_state):
    return 1.0
