def reward(self, state, action, next_state):
    return self.env.reward
