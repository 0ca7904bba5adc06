I would reward the agent for keeping the pole upright.
