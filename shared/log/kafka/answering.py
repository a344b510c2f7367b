"""What the client library throws, in the words of the runtime."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.errors import Unavailable


@asynccontextmanager
async def answering(seconds: float) -> AsyncIterator[None]:
    """Turns errors of the library, of the network and the lack of an answer within `seconds` into Unavailable.

    The library lets cancellations of its own escape when a broker dies. One that nobody asked this task for is an
    outage, not the end of the task.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"Kafka does not answer within {seconds:g} seconds") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka does not answer: {said(error)}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("Kafka does not answer: the client gave up a request") from error


def said(error: BaseException) -> str:
    """An error of the library in one line; its name where it says nothing."""
    if isinstance(error, KafkaConnectionError):
        return "no broker of CARTERA_LOG_URL can be reached"
    text = str(error.args[0]) if error.args and error.args[0] else type(error).__name__
    return text.splitlines()[0]
