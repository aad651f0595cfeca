#!lua flags=no-writes
-- Reads the stored instances if they have changed. Each service runs it once a second; mostly it is a single GET.
--
-- KEYS  records, version
-- ARGV  1 the version that the caller knows
--
-- Returns {version, Redis' time in ms}, followed by slug, record, slug, record... if the version has changed.
local version, time = redis.call('GET', KEYS[2]) or '', redis.call('TIME')
local found = {version, time[1] * 1000 + math.floor(time[2] / 1000)}
if version ~= ARGV[1] then
  for _, part in ipairs(redis.call('HGETALL', KEYS[1])) do found[#found + 1] = part end
end
return found
