import os

from ost_lightning.video.maintenance.parallel import map_in_processes
from tests.video.maintenance.deadly import deadly


def test_an_item_that_kills_its_process_is_named_and_the_rest_is_done() -> None:
    results = dict(map_in_processes(deadly, list(range(12)), 2, lambda number: (number, 0)))
    assert sorted(results) == list(range(12))
    assert [number for number, process in results.items() if process == 0] == [5]
    assert os.getpid() not in results.values()


def test_without_workers_all_is_done_here() -> None:
    assert dict(map_in_processes(deadly, [1, 2], 0, lambda number: (number, 0))) == dict.fromkeys([1, 2], os.getpid())
