"""Vision-language models as agents: no training, a frozen model sees and says what to do.

    agent = vlm_agent(env, client("openai:gpt-4o"), AgentConfig(observe="both", aids=("grid",)))
    jaxrl.evaluate(agent, None, params, num_episodes=20)

See docs/vlm_agent.md.
"""

from jaxrl.agents.agent import VlmAgent as VlmAgent
from jaxrl.agents.agent import vlm_agent as vlm_agent
from jaxrl.agents.settings import AIDS as AIDS
from jaxrl.agents.settings import AgentConfig as AgentConfig
