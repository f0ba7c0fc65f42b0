// Debian's Request Tracker in a folder of its own: its own configuration, an SQLite file, two queues, a group for each
// scope, and the account that Hallpass administers with.

import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort, startInBackground } from './background.ts'
import { installedTools } from './installed-tools.ts'
import { giveFolder, makeFolder, unprivileged } from './own-folder.ts'

const SERVER = '/usr/share/request-tracker5/libexec/rt-server'

export type RequestTracker = {
  readonly url: string
  /** user:password of the account that Hallpass administers with, and of root. */
  readonly admin: string
  readonly root: string
  /** The tool's own database, an SQLite file. */
  readonly database: string
  stop(): Promise<void>
}

const ROOT_PASSWORD = 'Root-0f-this-test'
const ADMIN_PASSWORD = 'Hallpass-0f-this-test'

const siteConfig = (folder: string, port: number) => `Set($rtname, 'rt.test');
Set($WebDomain, '127.0.0.1'); Set($WebPort, ${port}); Set($WebPath, '');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '${folder}/rt.db');
Set($LogToSyslog, undef); Set($LogToSTDERR, 'error'); Set($MailCommand, 'testfile');
Set($DisablePasswordForAuthToken, 1);
$RT::VarPath = '${folder}'; $RT::MasonDataDir = '${folder}/mason'; $RT::MasonSessionDir = '${folder}/sess';
1;
`

const INITIAL_DATA = `our @Users = ({ Name => 'hallpass', Password => '${ADMIN_PASSWORD}', Privileged => 1 });
our @Queues = ({ Name => 'Ops' }, { Name => 'Finance' });
our @Groups = map { { Name => $_, Domain => 'UserDefined' } } qw(scope-ops-read scope-ops-create);
our @ACL = (
  (map { { UserId => 'hallpass', Right => $_ } }
    qw(AdminUsers AdminGroupMembership SeeGroup ManageAuthTokens ShowConfigTab)),
  (map { { GroupId => 'scope-ops-read', GroupDomain => 'UserDefined', Queue => 'Ops', Right => $_ } }
    qw(SeeQueue ShowTicket)),
  (map { { GroupId => 'scope-ops-create', GroupDomain => 'UserDefined', Queue => 'Ops', Right => $_ } }
    qw(SeeQueue CreateTicket)),
);
1;
`

export async function startRequestTracker(): Promise<RequestTracker> {
  const tools = installedTools({
    'rt-setup-database-5': 'request-tracker5 rt5-db-sqlite',
    [SERVER]: 'rt5-standalone',
    setpriv: 'util-linux',
  })
  const folder = makeFolder('rt')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  for (const name of ['etc.d', 'mason', 'sess']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'RT_SiteConfig.pm'), siteConfig(folder, port))
  writeFileSync(join(folder, 'initial.pl'), INITIAL_DATA)
  writeFileSync(join(folder, 'root.password'), ROOT_PASSWORD)
  await giveFolder(folder)

  const env = {
    RT_SITE_CONFIG: join(folder, 'RT_SiteConfig.pm'),
    RT_SITE_CONFIG_DIR: join(folder, 'etc.d'),
  }
  const setUp = async (...args: string[]) => {
    const [command, ...rest] = unprivileged(tools['rt-setup-database-5'], ['--dba', '', ...args])
    await promisify(execFile)(command, rest, { cwd: folder, env: { ...process.env, ...env } })
  }
  await setUp('--action', 'init', '--skip-create', '--root-password-file', join(folder, 'root.password'))
  await setUp('--action', 'insert', '--datafile', join(folder, 'initial.pl'))

  const listen = ['--server', 'Starlet', '--host', '127.0.0.1', '--port', String(port), '--max-workers', '2']
  const [command, ...args] = unprivileged(SERVER, listen)
  const running = await startInBackground(command, args, {
    cwd: folder,
    env,
    ready: async () => (await fetch(`${url}/REST/2.0/rt`)).status === 401,
    readyWithinMs: 90_000,
  })
  return {
    url,
    admin: `hallpass:${ADMIN_PASSWORD}`,
    root: `root:${ROOT_PASSWORD}`,
    database: join(folder, 'rt.db'),
    async stop() {
      await running.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
