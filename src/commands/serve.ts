// `serve`: the broker, until it is told to stop.

import type { Command } from 'commander'
import { orStop } from './as-operator.ts'
import { type Cli, verb } from './command.ts'
import { remoteAt } from './remote.ts'
import { fields, numberOf, objectOf } from './show.ts'

export function addServe(program: Command, cli: Cli): void {
  verb(program, 'serve', 'start the broker').action(async () => {
    const config = cli.config()
    // Loaded here: every other command starts without it.
    const [{ createLog }, { startBroker }] = await Promise.all([
      import('../wire/log.ts'),
      import('../wire/start-broker.ts'),
    ])
    const running = orStop(await startBroker(config, createLog(config.logLevel)))
    const { address } = running
    const status = objectOf(
      await remoteAt({ by: 'socket', path: address.socketPath, token: null }).call({ path: '/v1/status' }),
    )
    const waits = objectOf(status.waiting)
    cli.terminal.item(
      { ...address, initialized: status.initialized, waiting: waits, outstanding: objectOf(status.outstanding).count },
      () => [
        ...fields([
          ['MCP', address.mcpUrl],
          ['console', address.consoleUrl],
          ['issuer', address.issuer],
          ['data', address.dataPath],
          ['manifests', `${config.scopesPath} (${config.scopesMode})`],
          ['waiting', `${numberOf(waits.requests)} requests, ${numberOf(waits.widenings)} widenings`],
        ]),
        ...(status.initialized === true
          ? []
          : ['', 'It is not initialised, so it refuses everything. Stop it and run: hallpass init --owner EMAIL']),
      ],
    )
    await stopped(cli.signal)
    cli.terminal.note('stopping')
    await running.close()
  })
}

/** Resolves once the process was told to stop. */
export const stopped = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
