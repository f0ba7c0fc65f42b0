// `init`: the data folder, its keys, and the first manifest set, accepted by whoever holds the folder and nobody else (S6).

import type { Command } from 'commander'
import { initialize } from '../actions/initialize.ts'
import { makeBearer } from '../actions/make-bearer.ts'
import type { Config } from '../config.ts'
import { formatDuration } from '../core/duration.ts'
import type { AccessEntry, ManifestSet } from '../core/manifest.ts'
import { keyOf } from '../core/model.ts'
import { rfc3339 } from '../core/record.ts'
import type { Broker } from '../wire/open-broker.ts'
import { NO_GUARDS, operator, orStop } from './as-operator.ts'
import { type Cli, verb } from './command.ts'
import { confirm } from './confirm.ts'
import { readScopes } from './read-scopes.ts'
import { show } from './show.ts'
import { Stop } from './stop.ts'
import { hasManifests, writeSample } from './write-sample.ts'

const EMAIL = /^[^\s@"'\\]+@[^\s@"'\\]+\.[^\s@"'\\.]+$/

export function addInit(program: Command, cli: Cli): void {
  verb(program, 'init', 'make the data folder, accept the manifests that are there, and make the first tokens')
    .requiredOption('--owner <email>', 'the first owner')
    .option('--yes', 'accept without asking, for scripts')
    .action(async ({ owner, yes }: { owner: string; yes?: boolean }) => {
      const email = owner.trim().toLowerCase()
      if (!EMAIL.test(email) || email.length > 254) throw new Stop(1, '--owner must be an e-mail address')
      const config = cli.config()
      // Loaded here: every other command starts without it.
      const [{ createLog }, { openBroker }] = await Promise.all([
        import('../wire/log.ts'),
        import('../wire/open-broker.ts'),
      ])
      const log = createLog('error')
      const broker = orStop(await openBroker(config, log, { guards: () => NO_GUARDS, notifier: { notify() {} } }))
      try {
        await run(cli, config, broker, email, yes === true)
      } finally {
        await broker.close()
      }
    })
}

async function run(cli: Cli, config: Config, broker: Broker, email: string, yes: boolean): Promise<void> {
  const { terminal } = cli
  const { deps } = broker
  const installation = (await deps.store.read([keyOf('installation', 'self')])).get('installation', 'self')
  if (installation != null && installation.initializedAt !== null)
    throw new Stop(1, `${config.dataPath} was initialised already, at ${rfc3339(installation.initializedAt)}`, [
      'Start it with `hallpass serve`. Edits of the manifests are accepted with `hallpass revision accept`.',
      'Tokens are made with `hallpass owner token EMAIL` and `hallpass admin token`, while it serves.',
    ])
  if (!(await hasManifests(config.scopesPath))) {
    for (const path of writeSample(config.scopesPath, email)) terminal.note(`wrote ${path}`)
  }
  const { set } = await readScopes(config)
  for (const line of setLines(set)) terminal.note(line)
  if (!yes)
    await confirm(cli, 'Accept all of this as the first revision?', 'nothing was accepted', [
      'Edit the manifests and run it again.',
    ])

  const accepted = await initialize(deps, operator(deps), { set, ownerEmail: email })
  if (!accepted.ok)
    throw new Stop(1, accepted.error.message, accepted.error.hint === undefined ? [] : [accepted.error.hint])
  const made = async (kind: 'admin' | 'owner') => {
    const bearer = await makeBearer(deps, operator(deps), { kind, subject: email })
    if (!bearer.ok) throw new Stop(1, bearer.error.message)
    const { id, expiresAt, secret } = bearer.value
    return {
      id,
      subject: email,
      expiresAt: rfc3339(expiresAt),
      token: secret.reveal(),
      lives: formatDuration(Math.round((expiresAt - deps.clock.now()) / 1000)),
    }
  }
  const [admin, own] = [await made('admin'), await made('owner')]
  terminal.answer(
    {
      revision: accepted.value.id,
      digest: set.digest,
      data: config.dataPath,
      scopes: config.scopesPath,
      issuer: config.issuer,
      admin,
      owner: own,
    },
    () => [
      `Initialised ${config.dataPath} with the manifests in ${config.scopesPath}.`,
      '',
      'These two tokens are shown this once. Keep them like passwords.',
      `# admin (locks, revokes, accepts tools; never approves), until ${show(admin.expiresAt)}:`,
      `export HALLPASS_TOKEN=${admin.token}`,
      `# owner ${email} (approves and accepts for what is theirs), until ${show(own.expiresAt)}:`,
      `export HALLPASS_TOKEN=${own.token}`,
      `export HALLPASS_URL=${config.issuer}`,
      '',
      'Next:',
      '  hallpass serve                                              # start the broker',
      `  hallpass agent new my-agent --owner ${email} --access ${firstAccess(set)}`,
      '  hallpass revision list                                      # what waits; then: hallpass revision accept ID',
    ],
  )
}

function firstAccess(set: ManifestSet): string {
  for (const tool of set.tools.values()) {
    const scope = Object.keys(tool.scopes)[0]
    if (scope !== undefined) return `${tool.name}=${scope}`
  }
  return 'TOOL=SCOPE'
}

/** All that is about to be in force, in words. */
function setLines(set: ManifestSet): string[] {
  const access = (entries: readonly AccessEntry[]) =>
    entries.map((entry) => {
      const details = Object.keys(entry.details).length === 0 ? '' : ` within ${show(entry.details)}`
      return `    ${show(entry.tool)}: ${show(entry.scopes)}${details} (approval ${entry.approval})`
    })
  return [
    'This will be in force:',
    ...[...set.teams.values()].map((team) => `  team ${team.name}: ${show(team.members)}`),
    ...[...set.tools.values()].flatMap((tool) => [
      `  tool ${tool.name} at ${show(tool.resource)}, owned by ${show(tool.owners)}`,
      ...Object.entries(tool.scopes).map(
        ([name, { risk, description }]) => `    ${show(name)} (${risk} risk) ${show(description)}`,
      ),
    ]),
    ...[...set.roles.values()].flatMap((role) => [`  role ${role.name}`, ...access(role.access)]),
    ...[...set.agents.values()].flatMap((agent) => [
      `  agent ${agent.name}, owned by ${show(agent.owners)}: ${show(agent.purpose)}`,
      ...(agent.roles.length === 0 ? [] : [`    roles ${show(agent.roles)}`]),
      ...access(agent.access),
    ]),
    ...set.warnings.map((warning) => `  warning: ${show(warning.file)}:${warning.line} ${show(warning.message)}`),
  ]
}
