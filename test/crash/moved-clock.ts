// Run before the broker (`node --import`): its wall clock is off by the milliseconds that the file CRASH_CLOCK names
// says at the moment, none where there is no file. The monotonic clock is left alone, as a set clock leaves it.

import { readFileSync } from 'node:fs'

const file = process.env.CRASH_CLOCK ?? ''
const READ_EVERY_MS = 10
let offset = 0
let readAt = Number.NEGATIVE_INFINITY

function offsetMs(): number {
  if (performance.now() - readAt < READ_EVERY_MS) return offset
  readAt = performance.now()
  try {
    offset = Number(readFileSync(file, 'utf8'))
  } catch {
    offset = 0
  }
  return offset
}

const TrueDate = Date
globalThis.Date = new Proxy(TrueDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now() + offsetMs()] : args, newTarget),
  get: (target, name) => (name === 'now' ? () => target.now() + offsetMs() : Reflect.get(target, name)),
})
