import asyncio

from medsyn2.server.events import KEPT, Events


def collect(events, after, count):
    async def read():
        found = []
        async for part in events.stream(after):
            found.append(part.decode())
            if len(found) == count:
                events.close()
        return found

    return asyncio.run(asyncio.wait_for(read(), 5))


def test_a_listener_misses_nothing_that_came_after_its_number():
    events = Events()
    first = events.last
    for number in range(3):
        events.tell("job", {"number": number, "text": "Größe\n\nevent: other"})
    found = collect(events, first + 1, 3)
    assert [part.count("\n\n") for part in found] == [1, 1, 1]
    assert [f'"number": {number}' in part for number, part in zip((1, 2), found[1:], strict=True)] == [True, True]
    assert found[-1].startswith(f"id: {events.last}\nevent: job\n")


def test_a_listener_that_was_away_too_long_reads_the_state_anew():
    events = Events()
    first = events.last
    for number in range(KEPT + 5):
        events.tell("job", {"number": number})
    assert "event: reset" in collect(events, first, 1)[0]
    assert "event: reset" in collect(Events(), first + 10**9, 1)[0]


def test_a_listener_without_a_number_hears_what_comes():
    async def listen():
        events, found = Events(), []
        events.tell("job", {"number": 0})

        async def read():
            async for part in events.stream(None):
                found.append(part.decode())

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        events.tell("job", {"number": 1})
        await asyncio.sleep(0.01)
        events.close()
        await asyncio.wait_for(reading, 5)
        return found

    found = asyncio.run(listen())
    assert [('"number": 1' in part) for part in found] == [False, True]


def test_numbers_grow_over_restarts():
    assert Events().last >= Events().last - 1000
    assert Events().last > 1_700_000_000_000
