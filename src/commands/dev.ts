// `dev`: a newcomer's broker with the sample agents and tools. Everything is temporary and gone at the end.

import type { Command } from 'commander'
import { type Cli, verb } from './command.ts'
import { stopped } from './serve.ts'
import { Stop } from './stop.ts'

export function addDev(program: Command, cli: Cli): void {
  verb(
    program,
    'dev',
    'start a broker on temporary data with the sample agents and tools, and print lines to paste',
  ).action(async () => {
    const port = (cli.env.HALLPASS_PORT ?? '').trim()
    if (port !== '' && !/^\d{1,5}$/.test(port)) throw new Stop(1, 'HALLPASS_PORT must be a port, 1 to 65535')
    // Loaded here: every other command starts without it.
    const { SAMPLE_OWNERS, startSampleBroker } = await import('./sample-broker.ts')
    const broker = await startSampleBroker({
      logLevel: cli.env.HALLPASS_LOG ?? 'warn',
      ...(port === '' || port === '0' ? {} : { port: Number(port) }),
    })
    try {
      const [name, agent] =
        Object.entries(broker.agents).find(([one]) => one === 'triage-bot') ?? Object.entries(broker.agents)[0] ?? []
      if (name === undefined || agent === undefined)
        throw new Stop(1, 'the sample has no agent: this copy is incomplete')
      const owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
      const toolOwner = await broker.ownerToken(SAMPLE_OWNERS.tickets)
      const { address } = broker.running
      const answer = {
        ...address,
        scopes: broker.scopesPath,
        tokens: { owner, toolOwner, admin: broker.adminToken },
        agents: broker.agents,
      }
      cli.terminal.item(answer, () => [
        `# MCP ${address.mcpUrl}, console ${address.consoleUrl}`,
        `# manifests ${broker.scopesPath}: edit them and watch. All of it is gone when this stops (Ctrl-C).`,
        '',
        '# an agent’s shell:',
        `export HALLPASS_URL=${broker.url}`,
        `export HALLPASS_AGENT=${name}`,
        `export HALLPASS_AGENT_KEY=${agent.keyPath}`,
        '',
        `# an owner’s shell (${SAMPLE_OWNERS.agents} owns the agents):`,
        `export HALLPASS_URL=${broker.url}`,
        `export HALLPASS_TOKEN=${owner}`,
        '',
        `# the other owner (${SAMPLE_OWNERS.tickets} owns the tool tickets), and an admin:`,
        `#   HALLPASS_TOKEN=${toolOwner}`,
        `#   HALLPASS_TOKEN=${broker.adminToken}`,
        `# the operator’s shell: export HALLPASS_DATA=${broker.dataPath}`,
        '',
        '# try:',
        '#   hallpass token tickets --scope ticket:read --reason "INC-1" --detail queue=incidents --wait 10m',
        '#   hallpass request watch',
        '#   hallpass connect claude-code      (and other MCP clients; in the agent’s shell)',
      ])
      await stopped(cli.signal)
    } finally {
      await broker.close()
    }
  })
}
