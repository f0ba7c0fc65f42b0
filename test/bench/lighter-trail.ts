// Run before a broker that is only measured (`node --import`): the same broker with a trail that costs less than it may, so
// that what the real one costs is seen. LIGHTER_TRAIL says how: `unsynced`, nothing waits for the disk; `none`, calls
// through the proxy are judged and not recorded. The broker itself has no such switch.

import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'

export type LighterTrail = 'unsynced' | 'none'

const how = process.env.LIGHTER_TRAIL

if (how === 'unsynced') {
  const { pragma } = Sqlite.prototype
  Sqlite.prototype.pragma = function (this: Sqlite.Database, source, options) {
    return pragma.call(this, source.replace(/^synchronous = \w+$/, 'synchronous = OFF'), options)
  } as typeof pragma
}

/** What is left out, by the end of the module's path. Each must be there, or nothing is measured. */
const LEFT_OUT: Readonly<Record<string, readonly [is: string, becomes: string]>> = {
  '/src/actions/admit-call.ts': [
    'notAfter: admitted.endsAt, records: [record] })',
    'notAfter: admitted.endsAt, records: [] })',
  ],
  '/src/actions/call-ends.ts': ['note(call, requestId, end) {', 'note(call, requestId, end) { return'],
}

if (how === 'none')
  registerHooks({
    load(url, context, next) {
      const edit = Object.entries(LEFT_OUT).find(([path]) => url.endsWith(path))?.[1]
      if (edit === undefined) return next(url, context)
      const source = readFileSync(fileURLToPath(url), 'utf8')
      if (!source.includes(edit[0])) throw new Error(`${url} is not as the bench knows it`)
      return { format: 'module-typescript', shortCircuit: true, source: source.replace(edit[0], edit[1]) }
    },
  })
