// Debian's InfluxDB 1.x in a folder of its own, with authentication, its admin user and two databases.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startInBackground } from './background.ts'
import { installedTools } from './installed-tools.ts'
import { giveFolder, makeFolder, unprivileged } from './own-folder.ts'

export type InfluxDb = {
  readonly url: string
  /** user:password of its admin. */
  readonly admin: string
  /** Where it keeps its users; a binary file. */
  readonly database: string
  stop(): Promise<void>
}

const PASSWORD = 'Admin-0f-this-test'

const configuration = (folder: string, http: number, rpc: number) => `reporting-disabled = true
bind-address = "127.0.0.1:${rpc}"
[meta]
  dir = "${folder}/meta"
[data]
  dir = "${folder}/data"
  wal-dir = "${folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${http}"
  auth-enabled = true
`

export async function startInfluxDb(): Promise<InfluxDb> {
  const { influxd } = installedTools({ influxd: 'influxdb', setpriv: 'util-linux' })
  const folder = makeFolder('influxdb')
  const [http, rpc] = await Promise.all([freePort(), freePort()])
  writeFileSync(join(folder, 'influxdb.conf'), configuration(folder, http, rpc))
  await giveFolder(folder)
  const url = `http://127.0.0.1:${http}`
  const [command, ...args] = unprivileged(influxd, ['-config', join(folder, 'influxdb.conf')])
  const running = await startInBackground(command, args, {
    cwd: folder,
    ready: async () => (await fetch(`${url}/ping`)).ok,
  })
  const admin = `admin:${PASSWORD}`
  const first = `CREATE USER admin WITH PASSWORD '${PASSWORD}' WITH ALL PRIVILEGES`
  for (const q of [first, 'CREATE DATABASE ops', 'CREATE DATABASE finance']) {
    const answer = await fetch(`${url}/query`, {
      method: 'POST',
      headers: q === first ? {} : { authorization: `Basic ${btoa(admin)}` },
      body: new URLSearchParams({ q }),
    })
    const text = await answer.text()
    if (!answer.ok || text.includes('error')) throw new Error(`InfluxDB: ${q.split(' ', 2).join(' ')}: ${text}`)
  }
  return {
    url,
    admin,
    database: join(folder, 'meta', 'meta.db'),
    async stop() {
      await running.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
