// What a server must be, asked on every new connection that writes: after a failover it may be another one.

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
