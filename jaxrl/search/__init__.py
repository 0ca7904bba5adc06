"""Search over reward programs: an author proposes, all candidates train at once, the best goes on.

    task = Task.of(*jaxrl.make("CartPoleSwing-v0"))
    result = search(task, Grammar(task.schema, 0, task.steps), Settings(iterations=7, candidates=3))
    print(result.score, result.program)

See docs/reward_search.md.
"""

from jaxrl.search.grammar import Grammar as Grammar
from jaxrl.search.propose import ArchiveProposer as ArchiveProposer
from jaxrl.search.propose import ModelProposer as ModelProposer
from jaxrl.search.propose import NoProposal as NoProposal
from jaxrl.search.propose import Proposer as Proposer
from jaxrl.search.propose import open_proposer as open_proposer
from jaxrl.search.records import Candidate as Candidate
from jaxrl.search.records import Curves as Curves
from jaxrl.search.records import Iteration as Iteration
from jaxrl.search.records import Proposal as Proposal
from jaxrl.search.searching import Result as Result
from jaxrl.search.searching import search as search
from jaxrl.search.searching import trainer_for as trainer_for
from jaxrl.search.settings import Settings as Settings
from jaxrl.search.task import Task as Task
