// The story of the demo, a step a line.
import {
  approve,
  approveItself,
  askForTickets,
  comment,
  mint,
  readMetrics,
  readTickets,
  signIn,
  stepOutside,
} from './ask.ts'
import { exportTrail, findTampering, verifyTrail } from './prove.ts'
import { accept, narrow, widen } from './rescope.ts'
import type { Stage } from './stage.ts'
import type { RunStep } from './steps.ts'
import { decommission, readReceipt, revokeSession } from './take-away.ts'

export async function walk(stage: Stage, step: RunStep): Promise<void> {
  const { name } = stage.agent
  await step(`${name} signs in`, (tell) => signIn(stage, tell))
  const pending = await step('It asks for access to the ticket desk', (tell) => askForTickets(stage, tell))
  await step('It cannot say yes itself', (tell) => approveItself(stage, tell, pending))
  const grant = await step('Its owner says yes', (tell) => approve(stage, tell, pending))
  const first = await step('A hall pass is minted', (tell) => mint(stage, tell, grant))
  const metricsToken = await step('It uses it', async (tell) => {
    await readTickets(stage, tell, first)
    await comment(stage, tell, first)
    return readMetrics(stage, tell)
  })
  await step('Outside of its scope it is refused', (tell) => stepOutside(stage, tell, first))

  await step('The manifest takes a scope away', (tell) => narrow(stage, tell, first, metricsToken))
  const revision = await step('The manifest gives it back, which waits', (tell) => widen(stage, tell))
  await step('Its owner accepts', (tell) => accept(stage, tell, revision))
  const second = await step(`${name} asks, gets, mints and uses again`, async (tell) => {
    const credential = await mint(stage, tell, await approve(stage, tell, await askForTickets(stage, tell)))
    await comment(stage, tell, credential)
    return credential
  })

  await step('Its session is revoked', (tell) => revokeSession(stage, tell, second))
  const held = await step('It comes back with its key, and less', async (tell) => {
    await signIn(stage, tell)
    const asked = await askForTickets(stage, tell, ['ticket:read'])
    const tickets = await mint(stage, tell, await approve(stage, tell, asked))
    await readTickets(stage, tell, tickets)
    return { tickets: tickets.token, metrics: await readMetrics(stage, tell) }
  })
  const receipt = await step(`${name} is decommissioned, for ever`, (tell) => decommission(stage, tell, held))
  await step('The receipt', (tell) => readReceipt(stage, tell, receipt))

  const trail = await step('The trail leaves the house', (tell) => exportTrail(stage, tell))
  await step('It is verified offline', (tell) => verifyTrail(tell, trail))
  await step('A tampered copy is found out', (tell) => findTampering(tell, trail))
}
