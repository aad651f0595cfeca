#!lua flags=allow-oom
-- Stores for some of the last batches whether the mod has the answer (append.lua). It may run when the memory is full, and
-- needs no more room: without it, an honest batch of equal events could be taken for a repeat.
--
-- KEYS  intake
-- ARGV  for each batch: the field (f1..f4, see append.lua) and its value
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
