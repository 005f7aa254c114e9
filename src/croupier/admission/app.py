"""The two applications: reviews over TLS for API servers; health, metrics and the report over HTTP for the cluster.

    POST /validate       AdmissionReview, admission.k8s.io/v1
    POST /image-policy   ImageReview, imagepolicy.k8s.io/v1alpha1
    GET  /healthz /readyz /metrics /report

A body that is no review is answered with a status of 4xx: the API server's failurePolicy decides then. A review that
cannot be judged is answered as this server is configured to.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeVar

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from croupier.admission.body import LARGEST_BYTES, Unfit, parsed
from croupier.admission.held import ImageVerdicts, WhoBreaks
from croupier.admission.judge import (
    Answer,
    Door,
    Review,
    TooMuch,
    answer_images,
    failed,
    image_review_in,
    judge,
    judge_image,
    review_in,
)
from croupier.admission.told import Metrics
from croupier.model.objects import JsonObject
from croupier.ports.clock import Clock

SMALL_BYTES = 256 * 1024
FEW_VALUES = 2_000
"""What is larger, or holds more, is read or judged beside the loop, two at a time: who brings less does not wait."""
MOST_SMALL, MOST_LARGE = 128, 8
"""Bodies in memory at a time. More wait, in line and not for ever."""

log = logging.getLogger(__name__)
Value = TypeVar("Value")


@dataclass(slots=True)
class Limits:
    """``seconds``: for reading a body, and again for judging it."""

    bytes: int = LARGEST_BYTES
    seconds: float = 4.0


@dataclass(slots=True)
class Doorkeeper:
    """Handlers of both applications over one ``Door``."""

    door: Door
    clock: Clock
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    is_stopping: bool = False
    breaks: WhoBreaks = field(init=False)
    images: ImageVerdicts = field(init=False)
    _beside: ThreadPoolExecutor = field(init=False)
    _small: asyncio.Semaphore = field(init=False)
    _large: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.breaks = WhoBreaks(self.clock.now)
        self.images = ImageVerdicts(lambda image: judge_image(self.door, image), self.clock.now)
        self._beside = ThreadPoolExecutor(2, thread_name_prefix="review")
        self._small = asyncio.Semaphore(MOST_SMALL)
        self._large = asyncio.Semaphore(MOST_LARGE)

    # --- reviews ------------------------------------------------------------------------------------------------------

    def reviews(self) -> web.Application:
        """What API servers are given."""
        app = web.Application(client_max_size=self.limits.bytes)
        app.router.add_post("/validate", self.validate)
        app.router.add_post("/image-policy", self.image_policy)
        return app

    async def validate(self, request: web.Request) -> web.Response:
        return await self._answered(request, "validate", self._judged)

    async def image_policy(self, request: web.Request) -> web.Response:
        return await self._answered(request, "image-policy", self._images_judged)

    async def _answered(
        self, request: web.Request, endpoint: str, answer: Callable[[bytes], Awaitable[JsonObject]]
    ) -> web.Response:
        """Reads, judges, counts. What ``answer`` cannot answer with a review is ``Unfit``."""
        began = perf_counter()
        try:
            async with self._room(request.content_length):
                told = await answer(await self._body(request))
        except Unfit as unfit:
            self.metrics.unfit.labels(unfit.reason).inc()
            log.warning("body.unfit", extra={"told": {"endpoint": endpoint, "reason": unfit.reason}})
            response = _json({"error": {"code": unfit.reason, "message": unfit.message}}, unfit.status)
            response.force_close()
            return response
        self.metrics.seconds.labels(endpoint).observe(perf_counter() - began)
        return _json(told)

    @asynccontextmanager
    async def _room(self, length: int | None) -> AsyncIterator[None]:
        """Room in memory for a body of ``length`` bytes; None: nobody knows. Raises ``Unfit`` where none becomes
        free.
        """
        room = self._small if length is not None and length <= SMALL_BYTES else self._large
        try:
            async with asyncio.timeout(self.limits.seconds):
                await room.acquire()
        except TimeoutError as error:
            raise Unfit(503, "too-busy", "too many reviews at a time") from error
        try:
            yield
        finally:
            room.release()

    async def _body(self, request: web.Request) -> bytes:
        return await read_body(request, largest_bytes=self.limits.bytes, seconds=self.limits.seconds)

    async def _judged(self, raw: bytes) -> JsonObject:
        def read() -> tuple[Review, int]:
            body = parsed(raw)
            return review_in(body.value), body.values

        try:
            review, values = await self._done(read, here=len(raw) <= SMALL_BYTES)
        except TimeoutError as error:
            raise Unfit(503, "too-slow", "the body could not be read in time") from error
        today = datetime.fromtimestamp(self.clock.now(), UTC).date()
        try:
            answer = await self._done(lambda: judge(self.door, review, today), here=values <= FEW_VALUES)
        except Exception as error:  # whatever a rule stumbles over must not let anybody in unasked
            answer = failed(self.door, review.uid, _why(error))
            log.error("review.failed", exc_info=error, extra={"told": _named(review, answer)})
        self._note(review, answer)
        return answer.as_json()

    async def _done(self, work: Callable[[], Value], *, here: bool) -> Value:
        """What is small at once; what is large beside the loop, for so long and no longer."""
        if here:
            return work()
        async with asyncio.timeout(self.limits.seconds):
            return await asyncio.get_running_loop().run_in_executor(self._beside, work)

    def _note(self, review: Review, answer: Answer) -> None:
        self.metrics.reviews.labels("validate", answer.outcome).inc()
        for rule in answer.rules:
            self.metrics.findings.labels(rule).inc()
        if answer.outcome in ("refused", "would-refuse"):
            self.breaks.note(review, answer)
            log.warning(f"review.{answer.outcome}", extra={"told": _named(review, answer)})
        else:
            log.debug("review.answered", extra={"told": _named(review, answer)})

    async def _images_judged(self, raw: bytes) -> JsonObject:
        review = image_review_in(parsed(raw).value)
        hits, misses = self.images.hits, self.images.misses
        try:
            verdicts = [self.images.of(image) for image in review.images]
            told, outcome = answer_images(self.door, review, verdicts)
        except Exception as error:  # as above
            log.error("review.failed", exc_info=error, extra={"told": {"namespace": review.namespace}})
            answer = failed(self.door, "", _why(error))
            told, outcome = {**review.value, "status": {"allowed": answer.allowed, "reason": answer.message}}, "failed"
            verdicts = []
        self.metrics.reviews.labels("image-policy", outcome).inc()
        self.metrics.image_hits.labels("yes").inc(self.images.hits - hits)
        self.metrics.image_hits.labels("no").inc(self.images.misses - misses)
        self.metrics.image_verdicts.set(len(self.images))
        rules = sorted({rule for each in verdicts for rule in each.rules})
        if outcome in ("refused", "would-refuse"):
            log.warning(f"images.{outcome}", extra={"told": {"namespace": review.namespace, "rules": rules}})
        return told

    # --- for the cluster ----------------------------------------------------------------------------------------------

    def about(self) -> web.Application:
        """Health, metrics and the report. No secret is in any of them."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.show_metrics)
        app.router.add_get("/report", self.report)
        return app

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text="stopping\n" if self.is_stopping else "ok\n", status=503 if self.is_stopping else 200)

    async def show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def report(self, _request: web.Request) -> web.Response:
        """Who would break: since this process began, so ask each replica."""
        return _json({"mode": self.door.mode, "leftOut": self.breaks.left_out, "breaking": list(self.breaks.rows())})

    def note_certificate(self, not_after: float | None) -> None:
        """A changed certificate was looked at. None: it could not be used."""
        self.metrics.reloads.labels("unusable" if not_after is None else "reloaded").inc()
        if not_after is not None:
            self.metrics.not_after.set(not_after)

    def close(self) -> None:
        self._beside.shutdown(wait=False, cancel_futures=True)


async def read_body(request: web.Request, *, largest_bytes: int, seconds: float) -> bytes:
    """The body, never more of it in memory than ``largest_bytes``. Raises ``Unfit``."""
    if request.content_type != "application/json":
        raise Unfit(415, "media-type", "send application/json")
    if (length := request.content_length) is not None and length > largest_bytes:
        raise Unfit(413, "too-large", f"the body is larger than {largest_bytes} bytes")
    held = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_chunked(65_536):
                held += chunk
                if len(held) > largest_bytes:
                    raise Unfit(413, "too-large", f"the body is larger than {largest_bytes} bytes")
    except TimeoutError as error:
        raise Unfit(408, "too-slow", f"the body did not come within {seconds:g} s") from error
    return bytes(held)


def _why(error: Exception) -> str:
    """For the person at the door: what kind of failure, never what was brought."""
    if isinstance(error, TooMuch):
        return str(error)
    return "it took too long" if isinstance(error, TimeoutError) else f"{type(error).__name__}, see croupier's log"


def _named(review: Review, answer: Answer) -> dict[str, object]:
    return {
        "uid": review.uid,
        "operation": review.operation,
        "kind": review.kind,
        "namespace": review.namespace,
        "name": review.name,
        "user": review.user,
        "outcome": answer.outcome,
        "rules": list(answer.rules),
    }


def _json(value: JsonObject, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), status=status, content_type="application/json")
