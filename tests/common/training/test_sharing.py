from common.training.sharing import gathered, is_first, joined


def test_what_one_process_alone_has_found_is_all_and_comes_in_the_order_asked_for() -> None:
    with joined():
        assert is_first()
        assert list(gathered({"b": 1, "a": 2}, ["a", "b", "not asked"]).items()) == [("a", 2), ("b", 1)]
