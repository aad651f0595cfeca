#!lua flags=allow-oom
-- Carries out one small write of bounded data, also when the memory is full: delivery must go on, which alone frees memory,
-- an honest batch must not be taken for a repeat, uplinks must see each other, and what people are shown must stay true.
--
-- KEYS  the key
-- ARGV  the command, and its arguments behind the key
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
