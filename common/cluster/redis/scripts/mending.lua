-- The beginning of each script that says `mended`. These keys are lists and counts that can be made anew. The first
-- write of a script should be one that a full server refuses: after any other it refuses none.
local mended = ''
-- Removes what stands at KEYS[i] and is of another type.
local function mend(i, type)
  local is = redis.call('TYPE', KEYS[i]).ok
  if is ~= type and is ~= 'none' then
    redis.call('UNLINK', KEYS[i])
    mended = mended .. ' ' .. KEYS[i]
  end
end
-- Counts in a hash of counts.
local function add(key, field, n)
  local reply = redis.pcall('HINCRBY', key, field, n)
  if type(reply) == 'table' and reply.err then redis.call('HSET', key, field, 0) end
end
