"""Networks: shapes, starting weights, who shares what, and refusals."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import networks
from jaxrl.errors import ConfigError, SpaceError, UnknownNameError
from jaxrl.networks import actor_critic
from jaxrl_envs import spaces

KEY = jax.random.key(0)
VECTOR = spaces.Box(-1.0, 1.0, (4,))
BOARD = spaces.Box(0, 1, (10, 10, 3))
DISCRETE = spaces.Discrete(3)
CONTINUOUS = spaces.Box(-2.0, 2.0, (2,))


def outputs(network, params, obs):
    """`(entropy, value, sample)` of observations, compiled at once: op by op takes seconds."""

    def every(params, obs):
        policy = network.policy(params, obs)
        return policy.entropy(), network.value(params, obs), policy.sample(KEY)

    return jax.jit(every)(params, obs)


def kernels(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return [leaf for path, leaf in leaves if "kernel" in jax.tree_util.keystr(path)]


@pytest.mark.parametrize(
    ("obs_space", "action_space", "shared"),
    [
        (VECTOR, DISCRETE, False),
        (VECTOR, CONTINUOUS, True),
        (BOARD, DISCRETE, True),
        (BOARD, CONTINUOUS, False),
        (spaces.Box(0, 1, (2, 5)), DISCRETE, False),
    ],
    ids=str,
)
def test_any_leading_shape(obs_space, action_space, shared):
    network = actor_critic(obs_space, action_space, hidden_sizes=(8,), shared_torso=shared)
    params = jax.jit(network.init)(KEY)
    obs = jax.random.uniform(KEY, (2, 3, *obs_space.shape))
    event = () if action_space is DISCRETE else (2,)
    entropy, value, sample = outputs(network, params, obs)
    assert value.shape == entropy.shape == (2, 3)
    assert sample.shape == (2, 3, *event)
    # Rows do not mix, and one observation is a row too.
    one_entropy, one, _ = outputs(network, params, obs[1, 2])
    assert one.shape == ()
    np.testing.assert_allclose(one, value[1, 2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one_entropy, entropy[1, 2], rtol=1e-5)


def test_separate_torsos_share_nothing():
    network = actor_critic(VECTOR, DISCRETE)
    params = jax.jit(network.init)(KEY)
    assert set(params) == {"actor", "critic"}
    actor, critic = kernels(params["actor"])[0], kernels(params["critic"])[0]
    assert not np.array_equal(actor, critic)  # nor start from the same key
    grads = jax.jit(jax.grad(lambda p: network.value(p, jnp.ones((5, 4))).sum()))(params)
    assert all((g == 0).all() for g in jax.tree.leaves(grads["actor"]))


def test_shared_torso_learns_from_both():
    network = actor_critic(VECTOR, DISCRETE, shared_torso=True)
    params = jax.jit(network.init)(KEY)
    assert set(params) == {"torso", "actor", "critic"}
    obs = jax.random.normal(KEY, (5, 4))
    actions = jnp.array([0, 1, 2, 0, 1])

    def value(params):
        return network.value(params, obs).sum()

    def policy(params):
        return network.policy(params, obs).log_prob(actions).sum()

    for of in (value, policy):
        grads = jax.jit(jax.grad(of))(params)["torso"]
        assert all((g != 0).any() for g in kernels(grads))


@pytest.mark.parametrize("obs_space", [VECTOR, BOARD], ids=str)
def test_starting_weights(obs_space):
    """Orthogonal: the shorter side of every kernel is orthonormal, times its gain."""
    params = jax.jit(actor_critic(obs_space, DISCRETE, hidden_sizes=(32, 16)).init)(KEY)
    for name, last_gain in (("actor", 0.01), ("critic", 1.0)):
        every = [kernel.reshape(-1, kernel.shape[-1]) for kernel in kernels(params[name])]
        gains = [math.sqrt(2)] * (len(every) - 1) + [last_gain]
        for kernel, gain in zip(every, gains, strict=True):
            wide = kernel if kernel.shape[0] <= kernel.shape[1] else kernel.T
            np.testing.assert_allclose(
                wide @ wide.T, gain**2 * np.eye(len(wide)), atol=1e-4 * gain**2
            )
    biases = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 1]
    assert biases
    assert all((b == 0).all() for b in biases)


def test_first_policy_is_close_to_uniform():
    network = actor_critic(VECTOR, DISCRETE)
    obs = 5 * jax.random.normal(KEY, (100, 4))
    entropy, _, _ = outputs(network, jax.jit(network.init)(KEY), obs)
    assert (entropy > math.log(3) - 1e-3).all()


def test_deviation_is_a_parameter_of_the_actor():
    network = actor_critic(VECTOR, CONTINUOUS, log_std_init=-0.5)
    params = jax.jit(network.init)(KEY)
    found = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params["actor"])
        if "log_std" in jax.tree_util.keystr(path)
    ]
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], [-0.5, -0.5])
    obs = jax.random.normal(KEY, (2, 4))
    expected = 2 * (-0.5 + 0.5 * math.log(2 * math.pi * math.e))
    np.testing.assert_allclose(outputs(network, params, obs)[0], expected, rtol=1e-5)


def test_squashed_policy_keeps_to_its_space():
    network = actor_critic(VECTOR, CONTINUOUS, squash=True, log_std_init=2.0)

    def act(params):
        policy = network.policy(params, jnp.ones((200, 4)))
        return policy.env_action(policy.sample(KEY))

    action = jax.jit(act)(jax.jit(network.init)(KEY))
    assert (jnp.abs(action) <= 2).all()
    assert (jnp.abs(action) > 1.9).any()


def test_noise_is_that_of_the_policies():
    for action_space in (DISCRETE, CONTINUOUS):
        network = actor_critic(VECTOR, action_space)
        policy = jax.jit(network.policy)(jax.jit(network.init)(KEY), jnp.ones((6, 4)))
        np.testing.assert_array_equal(network.noise(KEY, (6,)), policy.noise(KEY))


def test_bytes_are_scaled_and_bools_are_not():
    network = actor_critic(spaces.Box(0, 255, (6, 6, 1)), DISCRETE, hidden_sizes=(8,))
    params = jax.jit(network.init)(KEY)
    pixels = jax.random.randint(KEY, (3, 6, 6, 1), 0, 256).astype(jnp.uint8)
    value = jax.jit(network.value)
    np.testing.assert_allclose(
        value(params, pixels), value(params, pixels / 255.0), rtol=1e-4, atol=1e-5
    )
    board = pixels > 100
    np.testing.assert_allclose(
        value(params, board), value(params, board.astype(jnp.float32)), rtol=1e-5
    )


def test_auto_takes_a_cnn_for_images_only():
    def sizes(space, torso):
        """Weights of each layer but the head, smallest first."""
        init = actor_critic(space, DISCRETE, torso=torso, hidden_sizes=(8,)).init
        return sorted(k.size for k in kernels(jax.eval_shape(init, KEY)["critic"]))[1:]

    assert sizes(VECTOR, "auto") == [4 * 8]
    assert sizes(BOARD, "mlp") == [300 * 8]
    assert sizes(BOARD, "auto") == sizes(BOARD, "cnn") == [3 * 3 * 3 * 16, 8 * 8 * 16 * 8]


def test_small_convolution_is_a_convolution():
    """It is written as a product of patches and a matrix; XLA's own says the same."""
    layer = networks.PatchConv(features=5, size=3)
    image = jax.random.normal(KEY, (2, 7, 6, 4))
    params = layer.init(KEY, image)
    kernel = kernels(params)[0].reshape(3, 3, 4, 5)
    expected = jax.lax.conv_general_dilated(
        image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(layer.apply(params, image), expected, rtol=1e-4, atol=1e-4)


def test_pixels_take_three_convolutions():
    network = actor_critic(spaces.Box(0, 255, (36, 36, 3)), DISCRETE, hidden_sizes=(8,))
    shapes = jax.eval_shape(network.init, KEY)
    sizes = [k.shape for k in kernels(shapes["critic"])]
    assert sizes[:3] == [(8, 8, 3, 32), (4, 4, 32, 64), (3, 3, 64, 64)]


def test_layer_norm_is_of_each_row():
    torso = networks.MLPTorso((16,), jnp.asarray, layer_norm=True)
    x = 100 * jax.random.normal(KEY, (4, 3))
    out = torso.apply(torso.init(KEY, x), x)
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(-1), 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "advice"),
    [
        ({"activation": "reul"}, UnknownNameError, "'relu'"),
        ({"torso": "cnnn"}, UnknownNameError, "'cnn'"),
        ({"torso": "cnn"}, ConfigError, "torso='mlp'"),
        ({"hidden_sizes": ()}, ConfigError, "hidden_sizes"),
        ({"hidden_sizes": (64, 0)}, ConfigError, "hidden_sizes"),
    ],
)
def test_bad_settings_are_refused(settings, error, advice):
    with pytest.raises(error, match=advice):
        actor_critic(VECTOR, DISCRETE, **settings)


def test_spaces_that_do_not_fit_are_refused():
    with pytest.raises(SpaceError, match="squash=False"):
        actor_critic(VECTOR, spaces.Box(-jnp.inf, jnp.inf, (2,)), squash=True)
    with pytest.raises(SpaceError, match="one axis"):
        actor_critic(VECTOR, spaces.Box(-1.0, 1.0, (2, 2)))
    with pytest.raises(SpaceError, match="one Box"):
        actor_critic({"camera": BOARD}, DISCRETE)


def test_images_too_small_for_a_kernel_take_the_mlp():
    space, actions = spaces.Box(0.0, 1.0, (2, 2, 3)), spaces.Discrete(2)
    network = actor_critic(space, actions, hidden_sizes=(4,))
    params = jax.eval_shape(network.init, KEY)
    assert jax.eval_shape(network.value, params, jnp.zeros((5, 2, 2, 3))).shape == (5,)
    with pytest.raises(ConfigError, match="at least 3 × 3"):
        actor_critic(space, actions, torso="cnn")


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="another device is left to XLA")
def test_weight_gradients_are_those_of_our_products():
    """Each hidden layer's input is transposed ahead of the product, and no head's is."""
    network = actor_critic(VECTOR, DISCRETE, hidden_sizes=(64, 64))
    params = jax.eval_shape(network.init, KEY)

    def loss(params, obs):
        return network.value(params, obs).sum() + network.policy(params, obs).entropy().sum()

    program = str(jax.make_jaxpr(jax.grad(loss))(params, jnp.ones((32, 4))))
    assert program.count("optimization_barrier") == 4  # two layers of the actor, two of the critic
