#!lua flags=allow-oom
-- Takes delivered events off the stream, if the lease is still ours. It shrinks: a full memory drains by it.
--
-- KEYS  lease, events, intake
-- ARGV  1 lease token
--       2 entry     the oldest stream entry that is still needed
--       3 skip      how many of its events are delivered already
--       4 count     events delivered since the last call
--       5 bytes     size of the entries that go
--
-- Returns 1, or when nothing was touched 0: another has the lease, or -1: it ran out and nobody has it (Redis was
-- away, and we are back before the next renewal). A call that is not ahead of the cursor is one
-- that was repeated after a lost reply, or was stuck on its way while the next one came through: it counts for nothing.
local lease, events, intake = unpack(KEYS)
local owner = redis.call('HGET', lease, 'token')
if not owner then return -1 end
if owner ~= ARGV[1] then return 0 end
local cursor = ARGV[2] .. ' ' .. ARGV[3]
local known = redis.call('HMGET', intake, 'cursor', 'events', 'bytes')

local function parts(of)
  local ms, number, skip = string.match(of, '^(%d+)-(%d+) (%d+)$')
  return {tonumber(ms), tonumber(number), tonumber(skip)}
end
if known[1] then
  local old, new = parts(known[1]), parts(cursor)
  local i = 1
  while i < 3 and new[i] == old[i] do i = i + 1 end
  if new[i] <= old[i] then
    redis.call('HSET', intake, 'cursor', known[1]) -- nothing new, for WAIT (run_until in store.py)
    return 1
  end
end

redis.call('XTRIM', events, 'MINID', ARGV[2])
-- After a fail-over to a replica that lagged behind, the counts are of other events than those acknowledged.
-- They can be off then until the stream is empty, but never below what is there.
local left = redis.call('XLEN', events)
redis.call('HSET', intake, 'cursor', cursor,
  'events', left == 0 and 0 or math.max(0, (tonumber(known[2]) or 0) - ARGV[4]),
  'bytes', left == 0 and 0 or math.max(0, (tonumber(known[3]) or 0) - ARGV[5]))
return 1
