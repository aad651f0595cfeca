#!lua flags=allow-oom
-- A write for WAIT to wait for (redis/lane.py). It needs no room to speak of: a full Redis still hands commands out.
--
-- KEYS  one that nobody reads
redis.call('SET', KEYS[1], '', 'EX', 60)
