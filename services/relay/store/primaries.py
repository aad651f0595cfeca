"""The primaries of a store, with a pipeline to each: where a call goes, and whether they are trusted."""

import asyncio
from itertools import chain

from services.relay.protocol.errors import NotCarriedOut
from services.relay.store.calls import PipelineTerms, StoreCall
from services.relay.store.cluster import Cluster, slot_of
from services.relay.store.durability import StoreFacts
from services.relay.store.pipeline import Pipeline
from services.relay.store.refusals import Unreachable, store_error
from services.relay.store.sentinels import Sentinels, SinglePrimary
from services.relay.store.url import Endpoint, RedisUrl, StoreKind


class Primaries:
    """Routes calls. Not `opened`, it refuses them all: the settings of Redis must be checked first."""

    def __init__(self, url: RedisUrl, terms: PipelineTerms, *, opened: bool) -> None:
        self._opened = opened
        self._terms = terms
        self._pipelines: dict[Endpoint, Pipeline] = {}
        self._pinned: dict[int, Pipeline] = {}
        self._topology = SinglePrimary(url)
        if url.kind is StoreKind.SENTINEL:
            self._topology = Sentinels(url, self._leave_primary)
        if url.kind is StoreKind.CLUSTER:
            self._topology = Cluster(url, self._pin_slots)
        slotted = url.kind is StoreKind.CLUSTER
        self._only = None if slotted else self._pipeline_at(self._topology.place_of(0))

    def open(self) -> None:
        """Allows calls: the settings of this Redis are good."""
        self._opened = True

    async def close(self) -> None:
        """Waits for the calls under way. Later calls fail."""
        self._opened = False
        while True:
            await asyncio.gather(*(pipeline.close() for pipeline in list(self._pipelines.values())))
            if all(pipeline.idle for pipeline in self._pipelines.values()):  # else a call has moved
                self._topology.close()
                return

    async def ping(self) -> None:
        """Raises StoreError when a primary does not answer."""
        slots = self._topology.places().values()
        calls = [StoreCall(("PING",), self._terms.loop.create_future(), slot) for slot in slots]
        for call in calls:
            self.put(call)
        await asyncio.gather(*(call.reply for call in calls))

    async def inspect(self) -> StoreFacts:
        """Reads facts and settings of every primary. Raises StoreError if one does not answer."""
        if self._only is None:
            await self._topology.learn()
        places = list(self._topology.places())
        seen = await asyncio.gather(*(self._inspect_at(place) for place in places), return_exceptions=True)
        for place, pipeline in list(self._pipelines.items()):
            if place not in places and pipeline.idle:  # it serves no slot any more
                self._pipelines.pop(place, None)  # another inspection may have done so
                await pipeline.close()
        for found in seen:
            if isinstance(found, Unreachable):
                raise store_error(found) from found
            if isinstance(found, BaseException):
                raise found
        return self.facts

    async def _inspect_at(self, place: Endpoint) -> None:
        connection, facts = await self._topology.dial(place)
        connection.close()
        self._pipeline_at(place).learn_facts(facts)

    @property
    def facts(self) -> StoreFacts:
        """What is known of the primaries."""
        pipelines = [self._pipelines.get(place) for place in self._topology.places()]
        servers = tuple(pipeline.facts for pipeline in pipelines if pipeline and pipeline.facts)
        return StoreFacts(self._topology.kind, self._terms.replicas, self._terms.relaxed, servers)

    def put(self, call: StoreCall, key: str = "") -> None:
        """Sends a call to the primary of its key, or of its slot."""
        if not self._opened:
            call.fail(NotCarriedOut("Redis: not reached yet"))
        elif self._only:
            self._only.put(call)
        else:
            if key:
                call.slot = slot_of(key)
            self._pipeline_of(call.slot).put(call)

    def pipeline_for(self, key: str) -> Pipeline:
        """The pipeline to the primary that has this key."""
        return self._only or self._pipeline_of(slot_of(key))

    def _pipeline_of(self, slot: int) -> Pipeline:
        """The pipeline of a slot. While a pipeline has calls of the slot, new ones go there too, so that they
        keep their order."""
        return self._pinned.get(slot) or self._pipeline_at(self._topology.place_of(slot))

    def _pipeline_at(self, place: Endpoint) -> Pipeline:
        if place not in self._pipelines:
            self._pipelines[place] = Pipeline(self._topology, place, self._terms, self._round_ended)
        return self._pipelines[place]

    def _pin_slots(self) -> None:
        """The map of slots has changed: keeps slots at the pipeline that still has calls of them."""
        for pipeline in self._pipelines.values():
            for call in chain(pipeline.under_way, pipeline.waiting):
                if self._topology.place_of(call.slot) != pipeline.place:
                    self._pinned.setdefault(call.slot, pipeline)

    def _leave_primary(self) -> None:
        """The Sentinels replace the primary: what it confirms from now on may be lost."""
        for pipeline in self._pipelines.values():
            pipeline.disconnect()

    def _round_ended(self, pipeline: Pipeline) -> None:
        """Moves what waits in a pipeline, hints behind calls, to the primaries of the slots. No call is under
        way now."""
        if self._pinned:
            self._pinned = {slot: holder for slot, holder in self._pinned.items() if holder is not pipeline}
            waiting, pipeline.waiting = pipeline.waiting, []
            for call in waiting:
                self._pipeline_of(call.slot).put(call)
            hints, pipeline.hints = pipeline.hints, {}
            for channel, slugs in hints.items():
                for slug in slugs:
                    self.pipeline_for(f"{{{slug}}}").hint(channel, slug)
