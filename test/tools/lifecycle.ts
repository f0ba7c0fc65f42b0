// One life of an account in a real tool, timed: made, used, taken away, dead. It needs no test runner: the bench measures it too.

import { expectDone } from './people-and-agents.ts'
import type { Held, Receipt, ToolStage } from './tool-stage.ts'

/** Milliseconds; `dead` as a thief sees it who tries without pause, `confirmed` as the receipt says. */
export type Latency = {
  readonly provision: number
  readonly firstUse: number
  readonly dead: number
  readonly confirmed: number
}

const DEAD_WITHIN_MS = 20_000

/** Throws where the account does not work at first, or works for too long. The agent's access waits for no owner. */
export async function lifecycle(
  stage: ToolStage,
  agent: string,
): Promise<Latency & { readonly held: Held; readonly receipt: Receipt }> {
  const works = ({ secret }: Held) => stage.subject.first(secret)
  const session = await stage.session(agent)
  const grant = await stage.grantFor(session, 'desk', 'desk:first')
  const asked = performance.now()
  await expectDone(stage.exchange(session, grant))
  const provision = performance.now() - asked
  // The same again, with all that is known of it.
  const held = await stage.mint(session, grant)
  const using = performance.now()
  if (!(await works(held))) throw new Error('an account that was just made does not work')
  const firstUse = performance.now() - using

  const revoking = performance.now()
  const refused = async () => {
    while (await works(held))
      if (performance.now() - revoking > DEAD_WITHIN_MS) throw new Error(`it works after ${DEAD_WITHIN_MS} ms`)
    return performance.now() - revoking
  }
  const [revoked, dead] = await Promise.all([expectDone(stage.asAdmin(`/grants/${grant}/revoke`, {})), refused()])
  const receipt = await stage.confirmed(revoked)
  return { provision, firstUse, dead, confirmed: receipt.afterMilliseconds ?? Number.NaN, held, receipt }
}
