from __future__ import annotations

import pytest
from command_line import leave_plots_out


@pytest.fixture(autouse=True, scope="module")
def _reports_without_plots():
    with pytest.MonkeyPatch.context() as patch:
        leave_plots_out(patch.setattr)
        yield
