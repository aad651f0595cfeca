#!lua flags=allow-oom
-- Hands waiting commands to the mod that polls: new -> handed (protocol/command_states.py). It marks them before the answer
-- is written. If the answer is lost, they are lost too: a mod runs a command as often as it gets it.
-- It may run when the memory is full: it moves what is stored already.
--
-- KEYS  writes, reads, refreshes, waiting, handed, contact
-- ARGV  1 max_count, 2 max_bytes (of args), 3 contact_every_ms, 4 keep_ms,
--       5 "1": refreshes are handed out even if there is nothing else
--       6 until_us  when the caller gives up: a call that was delayed must not take commands that then nobody gets
--       7 keep_newest  number of commands that are kept beyond keep_ms, 8 keys_expire_ms  after which unused keys expire,
--       9 longest_ms  the longest time to any deadline
--
-- Returns "late" or "taken", now_us, and the commands taken: operation id, action, args, operation id, action, args...,
-- lane by lane, in each lane by deadline.
local writes, reads, refreshes, waiting, handed, contact = unpack(KEYS)
local max_count, max_bytes, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local longest_ms = tonumber(ARGV[9])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]
if now_us > tonumber(ARGV[6]) then return {'late', now_us} end

-- The commands of a lane that may be handed out. They are nearly in the order of their deadlines, so it reads the first
-- 100, and more only if too many of these have expired: a full lane must not delay other instances.
local function alive_in(lane)
  local alive, after = {}, '-'
  repeat
    local entries = redis.call('XRANGE', lane, after, '+', 'COUNT', 100)
    for _, entry in ipairs(entries) do
      local fields = entry[2]
      local deadline = tonumber(redis.call('ZSCORE', waiting, fields[2]) or 0)
      -- If the deadline is further ahead than any can be, the clock was set back, and the time left is unknown.
      if deadline > now_ms and deadline <= now_ms + longest_ms then
        alive[#alive + 1] = {entry[1], fields[2], fields[4], fields[6], deadline = deadline, place = #alive}
      else
        redis.call('XDEL', lane, entry[1])
      end
      after = '(' .. entry[1]
    end
  until #entries < 100 or #alive >= max_count
  table.sort(alive, function(a, b)
    if a.deadline ~= b.deadline then return a.deadline < b.deadline end
    return a.place < b.place
  end)
  return alive
end

local taken, count, size, full = {'taken', now_us}, 0, 0, false
for _, lane in ipairs({writes, reads, refreshes}) do
  local leave = full or (lane == refreshes and count == 0 and ARGV[5] ~= '1')
  for _, command in ipairs(leave and {} or alive_in(lane)) do
    local entry, operation, action, args = unpack(command)
    full = count == max_count or (count > 0 and size + #args > max_bytes)
    if full then break end
    count, size = count + 1, size + #args
    redis.call('XDEL', lane, entry)
    redis.call('ZREM', waiting, operation)
    redis.call('ZADD', handed, command.deadline, operation)
    for _, part in ipairs({operation, action, args}) do taken[#taken + 1] = part end
  end
end
-- Deletes what is older than keep_ms, except the newest ones: the clock may have been set forward just now.
local function forget(set, newest)
  local count = math.min(redis.call('ZCOUNT', set, '-inf', now_ms - keep_ms), redis.call('ZCARD', set) - newest)
  if count > 0 then redis.call('ZREMRANGEBYRANK', set, 0, count - 1) end
end

if count > 0 then
  forget(handed, tonumber(ARGV[7]))
  redis.call('PEXPIRE', handed, ARGV[8])
end

-- A write costs an fsync, so the time of contact is stored only every contact_every_ms.
-- A stored time in the future was stored before the clock was set back.
local heard_ms = tonumber(redis.call('GET', contact)) or 0
if now_ms < heard_ms or now_ms - heard_ms >= tonumber(ARGV[3]) then
  redis.call('SET', contact, string.format('%d', now_ms))
end
return taken
