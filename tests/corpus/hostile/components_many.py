def reward(state, action, next_state):
    c = {}
    for a in ("a", "b", "c", "d", "e", "f", "g", "h"):
        c[a] = 1.0
    c["a1"] = c["a2"] = c["a3"] = c["a4"] = c["a5"] = c["a6"] = c["a7"] = c["a8"] = 1.0
    c["b1"] = c["b2"] = c["b3"] = c["b4"] = c["b5"] = c["b6"] = c["b7"] = c["b8"] = 1.0
    c["c1"] = c["c2"] = c["c3"] = c["c4"] = c["c5"] = c["c6"] = c["c7"] = c["c8"] = 1.0
    c["d1"] = 1.0
    return 1.0, c
