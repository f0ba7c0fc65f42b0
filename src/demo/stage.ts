// Everything that the walk plays on: a broker with the sample manifests in a temporary folder, two tools behind guards,
// an agent, and the people who answer for it. Nothing of it outlives close().
import { createTicketDesk } from '../../examples/hono-tool/ticket-desk.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../commands/sample-broker.ts'
import { type Agent, createAgent } from './agent.ts'
import { createMetricsService } from './metrics-service.ts'
import { createPerson, type Person } from './person.ts'
import { type ServedTool, serveTool } from './serve-tool.ts'

export type Stage = {
  readonly broker: SampleBroker
  readonly mcpUrl: string
  readonly tickets: ServedTool
  readonly metrics: ServedTool
  readonly agent: Agent
  /** Answers for the agent. */
  readonly owner: Person
  readonly admin: Person
  readonly ownerToken: string
  close(): Promise<void>
}

/** The agent of the walk. */
const AGENT = 'triage-bot'

/** `database`: HALLPASS_DATABASE; without it, SQLite in the folder. */
export async function setStage({ database }: { readonly database?: string } = {}): Promise<Stage> {
  const closers: (() => Promise<void>)[] = []
  const close = async () => {
    for (const one of closers.splice(0).reverse()) await one()
  }
  try {
    const tickets = await serveTool(createTicketDesk, 'offline')
    closers.push(tickets.close)
    const metrics = await serveTool(createMetricsService, 'introspect')
    closers.push(metrics.close)

    const resources = { tickets: tickets.resource, metrics: metrics.resource }
    const broker = await startSampleBroker({
      resources,
      logLevel: 'fatal',
      ...(database === undefined ? {} : { database }),
    })
    // Last of all: tools first let go of the broker they follow.
    closers.unshift(broker.close)
    await tickets.open({ issuer: broker.url, verifierToken: await broker.verifierToken('tickets') })
    await metrics.open({ issuer: broker.url, verifierToken: await broker.verifierToken('metrics') })

    const { mcpUrl } = broker.running.address
    const agent = createAgent({ name: AGENT, mcpUrl, keyPath: broker.agents[AGENT]?.keyPath ?? '' })
    closers.push(agent.close)
    const ownerToken = await broker.ownerToken(SAMPLE_OWNERS.agents)
    return {
      broker,
      mcpUrl,
      tickets,
      metrics,
      agent,
      owner: createPerson({ name: SAMPLE_OWNERS.agents, url: broker.url, token: ownerToken }),
      admin: createPerson({ name: 'the admin', url: broker.url, token: broker.adminToken }),
      ownerToken,
      close,
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
