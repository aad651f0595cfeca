#!lua flags=allow-oom
-- Takes a free lease, makes our own last longer, or says that we stand by for it; and looks at the instance.
-- A full memory must not end ownership: what is owned is what drains it.
--
-- KEYS  lease, events, results, contact, watched, link
-- ARGV  1 token, 2 uplink, 3 ttl_ms
--       4 "1": take it if it is free
--       5 "<token> <beat>" of a record that stood still for so long that it counts as free, or ""
--       6 "" or, if we stand by for it, "waiting" or "ready": with our socket
--       7 "" or the `doubt` that stood still for so long that those identifies count as over
--
-- Returns {mine, newest, doubt, record, wanted, watched, now_ms, batches, results, contact_ms, ttl_ms}: 1 if the lease
-- is ours now, else 0; the same of the newest socket (identify.lua); whose identifies were begun and not answered, ours
-- aside; the record "<token> <beat>" as it is now, "" when free; what another that stands by last said, "" for nobody;
-- who looks at what passes, "" for nobody.
local lease = KEYS[1]
local found = redis.call('HMGET', lease, 'token', 'beat', 'wanted')
local token, beat, wanted = found[1], tonumber(found[2]) or 0, found[3] or ''
local mine = token == ARGV[1]
local free = not token or token .. ' ' .. beat == ARGV[5]

if mine or (free and ARGV[4] == '1') then
  mine, token, beat = true, ARGV[1], beat + 1
  if not free then -- whoever stands by says so again each second; a silence means that it is gone
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
local doubt = table.concat(open, ' ')
if mine and doubt ~= '' and doubt == ARGV[7] then
  doubt, newest = '', table.concat(begun, ' ')
  redis.call('HSET', KEYS[6], 'newest', newest)
end
newest = newest == ARGV[1] or newest == '?' .. ARGV[1]

local time = redis.call('TIME')
return {
  mine and 1 or 0, newest and 1 or 0, doubt, token and token .. ' ' .. beat or '', wanted,
  redis.call('GET', KEYS[5]) or '', time[1] * 1000 + math.floor(time[2] / 1000),
  redis.call('XLEN', KEYS[2]), redis.call('XLEN', KEYS[3]), tonumber(redis.call('GET', KEYS[4])) or 0,
  redis.call('PTTL', lease),
}
