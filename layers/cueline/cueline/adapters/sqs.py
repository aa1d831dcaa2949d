"""Wake-ups on an SQS standard queue."""

from typing import TYPE_CHECKING

from cueline.adapters.answers import answering
from cueline.adapters.wake_ups import checked_delay, wake_up_from_json, wake_up_to_json
from cueline.engine.ports import WakeUp

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

__all__ = ["SqsWakeUps", "wake_up_from_json", "wake_up_to_json"]


class SqsWakeUps:
    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client, self._queue_url = client, queue_url

    def send(self, wake_up: WakeUp, delay: int = 0) -> None:
        with answering("SQS"):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=wake_up_to_json(wake_up),
                DelaySeconds=checked_delay(delay),
            )
