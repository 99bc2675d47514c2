"""The one message about packages that are not installed."""

import pytest

from kithkin.core.errors import KithkinError
from kithkin.optional import need


def test_a_present_module_is_given():
    assert need("math", "all", "this").pi > 3


def test_an_absent_module_is_named_with_its_extra():
    with pytest.raises(KithkinError, match=r"^deep needs torch_absent: pip install 'kithkin\[deep\]'$"):
        need("torch_absent", "deep", "deep")
