"""What an example draws by lot is the same in every run."""

import random

random.seed(7)
