"""The captioner: what it sees against the state it never sees, what it says, what it answers."""

import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.vlm import prompts, specs
from jaxrl.vlm.captioner import CaptionerClient, answers, caption, lander_shape, see, words
from jaxrl.vlm.captioner import lunar_lander as lander
from jaxrl.vlm.captioner.cartpole import CartPoleFacts
from jaxrl.vlm.captioner.lunar_lander import LunarLanderFacts
from jaxrl.vlm.captioner.snake import MOVES, SnakeFacts
from jaxrl.vlm.messages import Image, Ok, Prompt
from jaxrl_envs.cartpole import CartPole, CartPoleState
from jaxrl_envs.cartpole_swing import CartPoleSwing
from jaxrl_envs.lunar_lander import picture
from jaxrl_envs.lunar_lander.engines import Power
from jaxrl_envs.lunar_lander.geometry import HULL, LEG, SCALE, WORLD_WIDTH
from jaxrl_envs.lunar_lander.terrain import NUM_POINTS, PAD_HEIGHT, SPACING, height_at
from jaxrl_envs.lunar_lander.vectors import Pose, Vec2
from jaxrl_envs.snake import Snake

VIEWS = np.load(Path(__file__).parent.parent / "data" / "lander_views.npz")
FLAGS = 2 * SPACING
"""Metres from flag to flag."""
CENTROID = np.array([[HULL.centroid.x, HULL.centroid.y]])


def slow(*size):
    return pytest.param(size, marks=pytest.mark.slow)


# --- CartPole


def cartpole_frames(position, tilt, size):
    """Frames of cart positions in track halves and tilts in degrees, `[N]` each."""
    env = CartPole()
    params = env.default_params
    x, theta = jnp.asarray(position * params.x_threshold), jnp.deg2rad(jnp.asarray(tilt))
    none = jnp.zeros_like(x)
    states = CartPoleState(jnp.zeros(x.shape, jnp.int32), x, none, theta, none)
    draw = jax.jit(jax.vmap(lambda s: env.render(s, params, height=size[0], width=size[1])))
    return np.asarray(draw(states))


@pytest.mark.parametrize("size", [(400, 600), (84, 84), slow(200, 300), slow(128, 128)])
def test_tilts_of_cartpole_are_within_two_degrees(size):
    rng = np.random.default_rng(0)
    count = 60 if size == (400, 600) else 150
    position = rng.uniform(-1.0, 1.0, count).astype(np.float32)
    tilt = rng.uniform(-20, 20, count).astype(np.float32)
    seen = [see(frame) for frame in cartpole_frames(position, tilt, size)]
    assert all(isinstance(facts, CartPoleFacts) for facts in seen)
    told = np.array([np.nan if f.tilt is None else f.tilt for f in seen])
    silent = np.isnan(told)
    # Only where the cart is half out of the picture may it say that it cannot tell.
    assert silent.mean() <= 0.05 and (np.abs(position[silent]) > 0.93).all()
    assert np.nanmax(np.abs(told - tilt)) < 2
    inside = np.abs(position) < 0.75
    assert np.abs(told - tilt)[inside].max() < (0.05 if size == (400, 600) else 1)
    assert np.abs([f.position for f in seen] - position).max() < 2 / size[1] + 0.005


def test_a_tilt_is_seen_all_the_way_round_and_on_a_marked_track():
    tilt = np.linspace(-175, 175, 36, dtype=np.float32)
    frames = cartpole_frames(np.zeros(36, np.float32), tilt, (84, 84))
    assert np.abs([see(frame).tilt for frame in frames] - tilt).max() < 1
    env = CartPoleSwing()
    params = env.default_params
    state = env.reset(jax.random.key(0), params)[1]
    facts = see(np.asarray(jax.jit(env.render)(state, params)))
    assert abs(facts.tilt - np.rad2deg(state.theta)) < 0.1
    assert abs(facts.position - state.x / params.x_threshold) < 0.005


# --- LunarLander


class Views(NamedTuple):
    """Landers: poses of hull and legs `[N, 3]`, the ground `[N, 11]`, the engines' power `[N]`."""

    poses: Pose
    terrain: np.ndarray
    power: Power

    def frames(self, size):
        def draw(poses, terrain, power):
            return picture.render(poses, terrain, power, height=size[0], width=size[1])

        return np.asarray(jax.jit(jax.vmap(draw))(*jax.tree.map(jnp.asarray, tuple(self))))


def recorded(count):
    """States of random and of heuristic play."""
    rows = np.linspace(0, len(VIEWS["x"]) - 1, count).round().astype(int)
    at = {name: VIEWS[name][rows] for name in VIEWS.files}
    power = Power(at["main"], at["side"], at["direction"])
    return Views(Pose(Vec2(at["x"], at["y"]), at["angle"]), at["terrain"], power)


def posed(count):
    """Landers anywhere in the picture and turned any way, over recorded grounds, engines off."""
    rng = np.random.default_rng(1)
    angle = rng.uniform(-np.pi, np.pi, count)
    x, y = rng.uniform(1.5, 18.5, count), rng.uniform(3.5, 12, count)
    rows = rng.integers(0, len(VIEWS["x"]), count)
    bends = rng.uniform(0.34, 0.6, (count, 2))
    numbers = np.stack([0 * x, 0 * x, angle, bends[:, 0], bends[:, 1]], axis=-1)
    corners = lander_shape.outlines(numbers) / SCALE
    middles = [corners[:, body].mean(1) for body in lander_shape.BODIES[1:]]
    centroid = lander_shape.turned(np.tile(CENTROID, (count, 1, 1)), angle)[:, 0]
    places = np.stack([centroid, *middles], axis=1) + np.stack([x, y], axis=-1)[:, None]
    angles = np.stack([angle, angle + bends[:, 0], angle - bends[:, 1]], axis=1)
    none = np.zeros(count, np.float32)
    poses = Pose(Vec2(*np.moveaxis(places.astype(np.float32), -1, 0)), angles.astype(np.float32))
    return Views(poses, VIEWS["terrain"][rows], Power(none, none, none))


def truth(views, i):
    """The facts that a perfect look at lander i would find, from its state."""
    center, angle = views.poses.center, views.poses.angle[i]
    ground = views.terrain[i]
    gaps = []
    for body, shape in enumerate((HULL, LEG, LEG)):
        local = np.array([(v.x, v.y) for v in shape.vertices])
        corners = lander_shape.turned(local, float(angle[body]))
        corners = corners + np.array([center.x[i, body], center.y[i, body]])
        line = np.interp(corners[:, 0], np.arange(NUM_POINTS) * SPACING, ground)
        gaps.append((corners[:, 1] - line).min() * SCALE)
    origin = np.array([center.x[i, 0], center.y[i, 0]])
    origin -= lander_shape.turned(CENTROID, float(angle[0]))[0]
    below = float(height_at(jnp.asarray(ground), origin[0]))
    tilt = -np.rad2deg(angle[0])
    return LunarLanderFacts(
        x=(origin[0] - WORLD_WIDTH / 2) / FLAGS,
        height=(origin[1] - below) / FLAGS,
        height_above_pad=(origin[1] - PAD_HEIGHT) / FLAGS,
        tilt=(tilt + 180) % 360 - 180,
        hull=gaps[0] < lander.TOUCHING,
        right_leg=gaps[1] < lander.TOUCHING,
        left_leg=gaps[2] < lander.TOUCHING,
    )


def said_of(facts):
    """The position words, or None where no lander is to be seen."""
    if facts.x is None:
        return None
    touches = facts.left_leg or facts.right_leg or facts.hull
    return (
        words.sideways(facts.x),
        words.height(facts.height, touches),
        words.attitude(facts.tilt),
    )


@pytest.mark.parametrize("kind", [recorded, posed])
@pytest.mark.parametrize(
    "size", [(200, 300), slow(84, 84), slow(400, 600), slow(100, 150), slow(60, 90)]
)
def test_position_words_of_lunar_lander_are_right(kind, size):
    views = kind(120)
    seen = [see(frame) for frame in views.frames(size)]
    assert all(isinstance(facts, LunarLanderFacts) for facts in seen)
    pairs = [(said_of(facts), said_of(truth(views, i))) for i, facts in enumerate(seen)]
    shown = [(said, so) for said, so in pairs if said is not None]
    assert len(shown) >= 0.9 * len(pairs)  # some fly above the picture
    for word in range(2):
        assert np.mean([said[word] == so[word] for said, so in shown]) >= 0.95
    # What is half cut off is said to be so, instead of how it is turned.
    whole = [(said, so) for said, so in shown if "partly" not in said[2]]
    assert len(whole) >= 0.85 * len(pairs)
    assert np.mean([said[2] == so[2] for said, so in whole]) >= 0.95


def test_engines_and_feet_are_seen():
    views = recorded(120)
    rows = [
        (see(frame), truth(views, i), i)
        for i, frame in enumerate(views.frames((200, 300)))
        if views.poses.center.y[i, 0] < 12  # in the picture as a whole
    ]
    assert len(rows) > 80
    main = [facts.main_engine == (views.power.main[i] > 0) for facts, _, i in rows]
    sides = {0: None, 1: "right", -1: "left"}
    side = [
        facts.pushed == sides[int(views.power.direction[i]) * int(views.power.side[i] > 0)]
        for facts, _, i in rows
    ]
    feet = [
        (facts.left_leg, facts.right_leg) == (so.left_leg, so.right_leg) for facts, so, _ in rows
    ]
    assert np.mean(main) >= 0.97 and np.mean(side) >= 0.97 and np.mean(feet) >= 0.95


def test_a_lander_that_is_not_there_is_not_made_up():
    views = recorded(1)
    poses = Pose(Vec2(views.poses.center.x, np.full((1, 3), 30.0)), views.poses.angle)
    frame = views._replace(poses=poses).frames((200, 300))[0]
    assert caption(see(frame)).text == "The lander is out of the picture."


# --- snake


def wandered(size, count):
    """Snakes that went at random without crossing themselves, and the true facts of each."""
    rng = np.random.default_rng(2)
    lives, facts = [], []
    for _ in range(count):
        cells, way = [tuple(rng.integers(0, size, 2))], None
        for _ in range(rng.integers(1, size * size // 2)):
            free = {
                name: (cells[-1][0] + down, cells[-1][1] + right)
                for name, (down, right) in MOVES.items()
            }
            free = {n: c for n, c in free.items() if c not in cells and set(c) <= {*range(size)}}
            if not free:
                break
            way = rng.choice(list(free))
            cells.append(free[way])
        life = np.zeros((size, size), np.int16)
        for age, cell in enumerate(cells, 1):
            life[cell] = age
        empty = np.argwhere(life == 0)
        food = tuple(map(int, empty[rng.integers(len(empty))]))
        head = tuple(map(int, cells[-1]))
        lives.append(life)
        facts.append((head, food, way, len(cells)))
    return np.stack(lives), facts


@pytest.mark.parametrize("board", [15, 6])
@pytest.mark.parametrize("size", [(84, 84), (210, 160), slow(400, 400), slow(60, 60)])
def test_snakes_are_seen(board, size):
    env, count = Snake(size=board, start_length=3), 100
    life, facts = wandered(board, count)
    head, food, way, length = zip(*facts, strict=True)
    state = env.reset_batch(jax.random.key(0), env.default_params, count)[1].replace(
        life=jnp.asarray(life),
        head=jnp.asarray(head, jnp.int32),
        food=jnp.asarray(food, jnp.int32),
        length=jnp.asarray(length, jnp.int32),
    )
    draw = jax.jit(jax.vmap(lambda s: env.render(s, height=size[0], width=size[1])))
    described = jax.tree.map(np.asarray, jax.vmap(env.describe)(state))
    right = []
    for i, frame in enumerate(np.asarray(draw(state))):
        seen = see(frame)
        assert isinstance(seen, SnakeFacts)
        free = {name: int(described[f"free_{name}"][i]) for name in MOVES}
        told = (seen.size, seen.head, seen.food, seen.heading, seen.length, seen.free)
        right.append(told == (board, head[i], food[i], way[i], length[i], free))
    assert np.mean(right) >= 0.99


# --- other scenes


@pytest.mark.parametrize("side", [100, slow(500)])
def test_acrobot_and_pendulum_are_seen(side):
    pytest.importorskip("gymnax")
    from jaxrl.environment import make

    rng = np.random.default_rng(3)
    one, two = (rng.uniform(-np.pi, np.pi, 40).astype(np.float32) for _ in range(2))
    size = {"height": side, "width": side} if isinstance(side, int) else {}
    for name, fields in (
        ("Acrobot-v1", {"joint_angle1": one, "joint_angle2": two}),
        ("Pendulum-v1", {"theta": one, "last_u": two / 2}),
    ):
        env, params = make(name)
        keys = jax.random.split(jax.random.key(0), 40)
        state = jax.vmap(env.reset_env, (0, None))(keys, params)[1].replace(**fields)
        frames = jax.jit(jax.vmap(lambda s, e=env, p=params: e.render(s, p, **size)))(state)
        seen = [see(frame) for frame in np.asarray(frames)]
        if name == "Acrobot-v1":
            angles = np.array([(f.upper, f.lower) for f in seen])
            true = np.rad2deg(np.stack([one, one + two], axis=-1))
            off = np.abs((angles - true + 180) % 360 - 180)
            assert off[:, 0].max() < 2 and off[:, 1].max() < 10 and np.median(off) < 1
        else:
            tilt = np.array([f.tilt for f in seen])
            assert np.abs((tilt + np.rad2deg(one) + 180) % 360 - 180).max() < 2


def test_breakout_is_seen():
    pytest.importorskip("gymnax")
    from jaxrl.environment import make

    env, params = make("Breakout-MinAtar")

    def play(key):
        def body(state, key):
            action = jax.random.randint(key, (), 0, env.num_actions)
            _, state, _, ended, _ = env.step_env(key, state, action, params)
            return state, (state, env.render(state, params, height=80, width=120), ended)

        return jax.lax.scan(body, env.reset_env(key, params)[1], jax.random.split(key, 12))[1]

    states, frames, ended = jax.jit(play)(jax.random.key(4))
    assert not np.asarray(ended)[:5].any()
    described = jax.tree.map(np.asarray, jax.vmap(env.describe, (0, None))(states, params))
    for i in range(5):
        facts = see(np.asarray(frames[i]))
        assert facts.paddle == described["paddle_column"][i]
        assert facts.ball == (described["ball_row"][i], described["ball_column"][i])
        assert facts.bricks == described["bricks"][i]
        down = described["ball_moves_down"][i] > 0
        assert facts.moving is None or facts.moving[0] == ("down" if down else "up")


@pytest.mark.parametrize("shape", [(60, 60, 3), (84, 120, 3), (400, 600, 3)])
def test_what_is_no_scene_is_not_taken_for_one(shape):
    rng = np.random.default_rng(5)
    plain = [np.full(shape, value, np.uint8) for value in (0, 128, 228, 255)]
    noise = rng.integers(0, 256, shape).astype(np.uint8)
    stripes = np.broadcast_to((np.arange(shape[1]) % 2 * 255)[None, :, None], shape)
    for frame in (*plain, noise, stripes.astype(np.uint8)):
        assert see(frame) is None
    text = answers.answer(Prompt.of("What is this?", Image.from_array(noise)))
    assert text == "I cannot tell what this picture shows."


def test_a_scene_is_not_taken_for_another():
    pytest.importorskip("gymnax")
    from jaxrl.environment import make

    for name in ("MountainCar-v0", "RobotMaze-v0"):
        env, params = make(name)
        state = jax.jit(env.reset_env)(jax.random.key(0), params)[1]
        render = jax.jit(partial(env.render, height=120, width=180))
        assert see(np.asarray(render(state, params))) is None


# --- questions and answers


@pytest.fixture(scope="module")
def poles():
    """CartPole at tilts of -6, 0.5 and 9 degrees, the cart left of the center."""
    tilt = np.array([-6.0, 0.5, 9.0], np.float32)
    frames = cartpole_frames(np.full(3, -0.25, np.float32), tilt, (200, 300))
    return [Image.from_array(frame) for frame in frames]


@pytest.fixture(scope="module")
def landers():
    """A lander that stands on the pad, and one high above the ground and outside the flags."""
    views = posed(2)
    numbers = np.array([[0, 0, 0, 0.45, 0.45]])
    corners = lander_shape.outlines(numbers)[0] / SCALE
    x, y = WORLD_WIDTH / 2 + 0.2, PAD_HEIGHT - corners[:, 1].min()
    places = [CENTROID[0], *(corners[b].mean(0) for b in lander_shape.BODIES[1:])]
    center = np.array(places) + np.array([x, y])
    there = center + np.array([-6.0, 6.0])
    both = np.stack([center, there]).astype(np.float32)
    angles = np.array([[0, 0.45, -0.45]] * 2, np.float32)
    flat = np.full((2, NUM_POINTS), PAD_HEIGHT, np.float32)
    views = Views(Pose(Vec2(both[..., 0], both[..., 1]), angles), flat, views.power)
    return [Image.from_array(frame) for frame in views.frames((200, 300))]


def ask(prompt):
    (outcome,) = CaptionerClient().ask([prompt], timeout=1)
    assert isinstance(outcome, Ok)
    return outcome.text


def test_sentences_of_cartpole(poles):
    text = ask(Prompt.of("Tell me what is happening in this picture.", poles[0]))
    assert text == (
        "The pole leans to the left by 6.0 degrees. "
        "The cart is left of the center, 25.0 % of the way to the left end."
    )


def test_sentences_of_lunar_lander(landers):
    text = ask(Prompt.of("Tell me what is happening in this picture.", landers[0]))
    assert text.startswith(
        "The lander is inside the flags, in the center. It is on the ground. It is upright. "
    )
    assert "Both legs touch the ground. It has landed and is stable. No engine is firing." in text
    text = ask(Prompt.of("Tell me what is happening in this picture.", landers[1]))
    assert text.startswith(
        "The lander is outside the flags, to the left. It is high above the ground. It is upright."
    )


@pytest.mark.parametrize("name", ["cartpole_tilt", "paper_cartpole_tilt"])
def test_degrees_are_answered_with_degrees(name, poles):
    template = prompts.load(name)
    for image, tilt in zip(poles, (-6, 0.5, 9), strict=True):
        prompt = template.prompt(image)
        parsed = template.read(ask(prompt), prompt.turns[0].text)
        near = 0.51 if name.startswith("paper") else 0.11
        assert parsed.ok and abs(parsed.reading - tilt) < near


@pytest.mark.parametrize(
    "name",
    [name for name in prompts.names() if "lander" in name or name.startswith("goal")],
)
def test_every_prompt_about_a_lander_prefers_the_one_on_the_pad(name, landers):
    template = prompts.load(name)
    given = dict.fromkeys(template.parameters, "the lander stands upright between the flags")
    values = []
    for image in landers:
        prompt = template.prompt(image, **given)
        parsed = template.read(ask(prompt), prompt.turns[0].text)
        assert parsed.ok, parsed.note
        values.append(parsed.value)
    assert values[0] > values[1]


def test_the_papers_words_add_up_on_the_pad(landers):
    template = prompts.load("paper_lander_landing")
    assert template.read(ask(template.prompt(landers[0]))).value == 5.2
    assert template.read(ask(template.prompt(landers[1]))).value == -1.75


def test_pictures_are_compared(poles, landers):
    template = prompts.load("compare_goal")

    def verdict(one, two, goal):
        return template.read(ask(template.prompt(one, two, goal=goal))).value

    assert verdict(poles[0], poles[1], "the pole stands upright") == 0
    assert verdict(poles[1], poles[2], "the pole stands upright") == 1
    assert verdict(poles[1], poles[1], "the pole stands upright") == 0.5
    assert verdict(*landers, "the lander is on the pad") == 1


def test_json_follows_the_schema(poles):
    schema = {
        "type": "object",
        "required": ["tilt_degrees", "upright", "side", "score"],
        "properties": {
            "tilt_degrees": {"type": "number"},
            "upright": {"type": "boolean"},
            "side": {"type": "string", "enum": ["left", "right"]},
            "score": {"type": "integer", "minimum": 0, "maximum": 100},
        },
    }
    # Of "side" nothing tells what it is about, for pole and cart are both on the left.
    given = json.loads(ask(Prompt.of("How upright is the pole?", poles[0], schema=schema)))
    assert given["side"] == "left" and given["upright"] is False and given["score"] == 50
    assert abs(given["tilt_degrees"] + 6) < 0.1
    schema = {"type": "object", "properties": {"colour": {"type": "array"}}}
    assert ask(Prompt.of("?", poles[0], schema=schema)) == answers.NOT_SHOWN


def test_numbers_in_the_prompt_change_nothing(poles):
    plain = "By how many degrees does the pole lean?"
    told = f"{plain} The pole_angle_degrees is 3.7, cart_position is 1.2 after 40 of 500 steps."
    assert ask(Prompt.of(plain, poles[0])) == ask(Prompt.of(told, poles[0]))


def test_a_prompt_without_a_picture_and_one_that_is_unknown_get_no_number(poles):
    assert ask(Prompt.of("How many degrees?")) == "I see no picture."
    grey = Image.from_array(np.full((64, 64, 3), 90, np.uint8))
    for name in ("cartpole_tilt", "goal_score", "goal_yes_no"):
        template = prompts.load(name)
        given = dict.fromkeys(template.parameters, "win")
        assert not template.read(ask(template.prompt(grey, **given))).ok
    text = ask(Prompt.of("Which is better?", poles[0], grey))
    assert text == "I cannot tell what these pictures show."


def test_it_is_a_client_by_name():
    client = specs.client("captioner")
    assert isinstance(client, CaptionerClient) and client.model == "captioner"
    heard = []
    client.ask([Prompt.of("?")], timeout=1, on_outcome=lambda *outcome: heard.append(outcome))
    assert heard == [(0, Ok("I see no picture."))]
    client.close()
