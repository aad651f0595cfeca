#!lua flags=allow-oom
-- Takes a free lease, renews our own, or notes that we stand by for it; and reads what is new of the instance.
-- It may run when the memory is full: only an instance that is owned frees memory.
--
-- KEYS  lease, events, results, contact, watched, link
-- ARGV  1 token, 2 uplink, 3 ttl_ms
--       4 "1": take it if it is free
--       5 "<token> <beat>" of a record that has not changed for so long that the lease counts as free, or ""
--       6 "" or, if we stand by for the lease, "waiting" or "ready" (our socket is open)
--       7 "" or the `open_identifies` that have not changed for so long that they count as over
--
-- Returns {mine, newest, open_identifies, record, wanted, watched, now_ms, batches, results, contact_ms, ttl_ms}:
--   mine     1 if the lease is ours now, otherwise 0
--   newest   1 if our socket identified last (identify.lua), or if only it identifies now, otherwise 0
--   open_identifies   the tokens of other uplinks whose identify has begun and has no answer
--   record   "<token> <beat>" of the lease as it is now, "" if it is free
--   wanted   the 6 of another uplink that stands by, "" if there is none
--   watched  the name of a watcher of the activity, "" if there is none
--   batches, results   the lengths of both streams
local lease = KEYS[1]
local found = redis.call('HMGET', lease, 'token', 'beat', 'wanted')
local token, beat, wanted = found[1], tonumber(found[2]) or 0, found[3] or ''
local mine = token == ARGV[1]
local free = not token or token .. ' ' .. beat == ARGV[5]

if mine or (free and ARGV[4] == '1') then
  mine, token, beat = true, ARGV[1], beat + 1
  if not free then -- an uplink that stands by repeats it each second; if not, it is gone
    if wanted ~= '' then redis.call('HDEL', lease, 'wanted') end
  else
    wanted = ''
    redis.call('DEL', lease)
  end
  redis.call('HSET', lease, 'token', token, 'beat', beat, 'uplink', ARGV[2])
  redis.call('PEXPIRE', lease, ARGV[3])
elseif free then
  token = false
elseif ARGV[6] ~= '' then
  redis.call('HSET', lease, 'wanted', ARGV[6])
end

local newest, open, begun = redis.call('HGET', KEYS[6], 'newest') or '', {}, {'?-'}
for name in string.gmatch(string.match(newest, '^%?(.*)$') or '', '[^ ]+') do
  if name == ARGV[1] then table.insert(begun, name) elseif name ~= '-' then table.insert(open, name) end
end
local open_identifies = table.concat(open, ' ')
if mine and open_identifies ~= '' and open_identifies == ARGV[7] then
  open_identifies, newest = '', table.concat(begun, ' ')
  redis.call('HSET', KEYS[6], 'newest', newest)
end
newest = newest == ARGV[1] or newest == '?' .. ARGV[1] or newest == '?- ' .. ARGV[1]

local time = redis.call('TIME')
return {
  mine and 1 or 0, newest and 1 or 0, open_identifies, token and token .. ' ' .. beat or '', wanted,
  redis.call('GET', KEYS[5]) or '', time[1] * 1000 + math.floor(time[2] / 1000),
  redis.call('XLEN', KEYS[2]), redis.call('XLEN', KEYS[3]), tonumber(redis.call('GET', KEYS[4])) or 0,
  redis.call('PTTL', lease),
}
