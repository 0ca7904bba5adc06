from jaxrl.records import *  # noqa: F403  (moved; to be removed)
