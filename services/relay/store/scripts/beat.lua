#!lua flags=allow-oom
-- Counts one beat of an uplink, or of all of them. It may run when the memory is full: otherwise an uplink that starts then
-- would see itself alone, and the others would not see it; each would move all instances to itself again and again.
--
-- KEYS  the hash with the beats of each uplink, or the number that all of them count up
-- ARGV  1 the name of the uplink; none: KEYS is that number
--
-- Returns the count.
if ARGV[1] then return redis.call('HINCRBY', KEYS[1], ARGV[1], 1) end
return redis.call('INCR', KEYS[1])
