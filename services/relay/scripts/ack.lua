-- Takes delivered events off the stream, if the lease is still ours.
--
-- KEYS  lease, events, intake
-- ARGV  1 lease token
--       2 entry     the oldest stream entry that is still needed
--       3 skip      how many of its events are delivered already
--       4 count     events delivered since the last call
--       5 bytes     size of the entries that go
--
-- Returns 1, or 0 when the lease is lost: then nothing was touched.
local lease, events, intake = unpack(KEYS)
if redis.call('HGET', lease, 'token') ~= ARGV[1] then return 0 end
local cursor = ARGV[2] .. ' ' .. ARGV[3]
local known = redis.call('HMGET', intake, 'cursor', 'events', 'bytes')
if known[1] == cursor then return 1 end -- repeated after a lost reply
redis.call('XTRIM', events, 'MINID', ARGV[2])
redis.call('HSET', intake, 'cursor', cursor,
  'events', (tonumber(known[2]) or 0) - ARGV[4], 'bytes', (tonumber(known[3]) or 0) - ARGV[5])
return 1
