// Run before the broker (`node --import`), in each of its threads: carries out, at a commit counted from when the order
// was given, what the order says. The broker has no hook for it: better-sqlite3 is wrapped.

import { readFileSync, rmSync } from 'node:fs'
import Sqlite from 'better-sqlite3'

/** In the file that CRASH_ORDER names, as JSON; commits count from when the file is there. */
export type Order = {
  /** The first is 1. */
  readonly commit: number
  /** `stall` holds the thread that writes, once, before the COMMIT. */
  readonly act: 'die before' | 'die after' | 'stall'
  readonly milliseconds?: number
}

const file = process.env.CRASH_ORDER ?? ''
let count = 0
let counted = ''

function order(): Order | null {
  try {
    const text = readFileSync(file, 'utf8')
    if (text !== counted) count = 0
    counted = text
    return JSON.parse(text) as Order
  } catch {
    counted = ''
    return null
  }
}

function committing(commit: () => Sqlite.RunResult): Sqlite.RunResult {
  const given = order()
  if (given === null || ++count !== given.commit) return commit()
  if (given.act === 'die before') process.kill(process.pid, 'SIGKILL')
  if (given.act === 'stall') {
    rmSync(file)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, given.milliseconds)
  }
  const result = commit()
  if (given.act === 'die after') process.kill(process.pid, 'SIGKILL')
  return result
}

const { prepare } = Sqlite.prototype
Sqlite.prototype.prepare = function (this: Sqlite.Database, source: string) {
  const statement = prepare.call(this, source)
  if (this.readonly || !/^commit$/i.test(source)) return statement
  const run = statement.run.bind(statement)
  return Object.defineProperty(statement, 'run', { value: () => committing(() => run([])) })
} as typeof prepare
