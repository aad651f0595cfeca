#!lua flags=allow-oom
-- Notes for some of the last batches whether the mod has its answer (append.lua). It must not be lost to a full
-- memory: an honest twin of the batch could be taken for a repeat then. It grows nothing.
--
-- KEYS  intake
-- ARGV  for each batch: the field of its fate, the fate
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
