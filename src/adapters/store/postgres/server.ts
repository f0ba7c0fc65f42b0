// What a server must be, asked on every new connection that writes, since after a failover it may be another one; and
// who may have it.

import { setTimeout as wait } from 'node:timers/promises'
import type { Query } from './connections.ts'

const OLDEST = 150_000

type Server = {
  readonly version: number
  readonly encoding: string
  readonly fsync: string
  readonly synchronous: string
  readonly standby: boolean
}

/** Throws Error where it would not keep what it commits, or cannot be written. */
export async function checkServer(query: Query): Promise<void> {
  const [server] = await query<Server>({
    text: `select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding,
      current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous,
      pg_is_in_recovery() as standby`,
  })
  const fault = server === undefined ? 'it does not say what it is' : faultOf(server)
  if (fault !== null) throw new Error(`${fault}.`)
}

function faultOf({ version, encoding, fsync, synchronous, standby }: Server): string | null {
  if (version < OLDEST) return 'it must be version 15 or newer'
  if (standby) return 'it is a standby, which cannot be written: name the primary'
  if (fsync !== 'on') return 'fsync is off, so a crash would lose what was acknowledged: set fsync = on'
  if (synchronous === 'off') {
    return 'synchronous_commit is off, so a crash would lose what was acknowledged: set synchronous_commit = on'
  }
  if (encoding !== 'UTF8') return `the database is encoded in ${encoding}: make one with encoding UTF8`
  return null
}

const HOLD_TRIES = 20
const HOLD_RETRY_MS = 100

/**
 * Takes this schema for as long as the connection lives; a holder that died is waited for. The lock keeps apart those
 * who ask for it; what they write is kept in order by the head row alone.
 */
export async function hold(query: Query, schema: string): Promise<void> {
  for (let left = HOLD_TRIES; left > 0; left--) {
    const [row] = await query<{ held: boolean }>({
      text: 'select pg_try_advisory_lock(1214344561, hashtext($1)) as held',
      values: [schema],
    })
    if (row?.held) return
    await wait(HOLD_RETRY_MS)
  }
  throw new Error('The store is held by another process. Speak to that one, or stop it first.')
}
