// Debian's Redmine in a folder of its own: a copy of the empty database that its package made, its own configuration, logs
// and files. Nothing of the system's own instance is written.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startInBackground } from './background.ts'
import { installedTools } from './installed-tools.ts'
import { giveFolder, makeFolder, unprivileged } from './own-folder.ts'

const ROOT = '/usr/share/redmine'
const EMPTY = '/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default'

export type Redmine = {
  readonly url: string
  readonly adminKey: string
  /** The tool's own database, an SQLite file. */
  readonly database: string
  stop(): Promise<void>
}

/** Roles cannot be made over REST; the rest is here so that Rails starts once. */
const rackup = (keyFile: string) => `require '${ROOT}/config/environment'
Setting.rest_api_enabled = '1'
Setting.login_required = '1'
%w[ops finance].each do |name|
  Project.create!(name: name.capitalize, identifier: name, is_public: false, trackers: Tracker.all.to_a)
end
Role.create!(name: 'Agent-read', issues_visibility: 'all', permissions: [:view_issues])
Role.create!(name: 'Agent-create', issues_visibility: 'own', permissions: [:view_issues, :add_issues])
admin = User.find_by_login('admin')
admin.update!(must_change_passwd: false)
File.write('${keyFile}', admin.api_key)
run RedmineApp::Application
`

export async function startRedmine(): Promise<Redmine> {
  const { puma } = installedTools({ [ROOT]: 'redmine redmine-sqlite', puma: 'puma', setpriv: 'util-linux' })
  const folder = makeFolder('redmine')
  const database = join(folder, 'redmine.db')
  const keyFile = join(folder, 'admin.key')
  for (const name of ['config', 'log', 'tmp', 'files', 'public/plugin_assets'])
    mkdirSync(join(folder, name), { recursive: true })
  cpSync(EMPTY, database)
  writeFileSync(
    join(folder, 'config', 'database.yml'),
    `production: { adapter: sqlite3, database: ${database}, encoding: utf8, timeout: 10000 }\n`,
  )
  writeFileSync(join(folder, 'config', 'secret_key.txt'), 'of-a-test-and-of-nothing-else-0123456789')
  writeFileSync(join(folder, 'config.ru'), rackup(keyFile))
  await giveFolder(folder)

  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const [command, ...args] = unprivileged(puma, [
    ...['-C', '/dev/null', '-e', 'production', '-t', '1:4', '-b', `tcp://127.0.0.1:${port}`],
    join(folder, 'config.ru'),
  ])
  const running = await startInBackground(command, args, {
    cwd: ROOT,
    env: {
      BUNDLER_VERSION: '2.3.15',
      RAILS_ENV: 'production',
      RAILS_LOG_TO_STDOUT: '1',
      // Redmine seeks its instances in one folder: whatever that is a link to, this leads out of it.
      REDMINE_INSTANCE: `${'../'.repeat(10)}${folder.slice(1)}`,
    },
    ready: async () => (await fetch(`${url}/login`)).ok,
    readyWithinMs: 110_000,
  })
  return {
    url,
    adminKey: readFileSync(keyFile, 'utf8'),
    database,
    async stop() {
      await running.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
