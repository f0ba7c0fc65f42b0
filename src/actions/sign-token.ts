// Signing inside a commit: the key is asserted with everything else that was judged, and one that was withdrawn signs
// nothing, however late this process hears of it (S19).

import type { TokenAlg } from '../core/manifest.ts'
import { keyOf } from '../core/model.ts'
import type { Problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { staleView } from './authenticate-session.ts'
import type { Deps, Signer } from './ports.ts'
import { ensureKey } from './rotate-keys.ts'
import type { Look } from './transact.ts'

type Signed = Awaited<ReturnType<Signer['signToken']>>

/** `stale_view` where this process cannot get hold of a key that is in force. */
export async function signToken(
  deps: Pick<Deps, 'signer' | 'keys' | 'store' | 'clock' | 'ids'>,
  look: Look,
  claims: Readonly<Record<string, unknown>>,
  alg: TokenAlg = 'ES256',
): Promise<Result<Signed, Problem>> {
  const { signer } = deps
  if (!signer.canSign(alg)) {
    const made = await ensureKey(deps, deps.keys, 'tokens', alg)
    if (!made.ok) return made
    await signer.refresh()
    if (!signer.canSign(alg)) return err(staleView())
  }
  for (const isFirst of [true, false]) {
    const signed = await signer.signToken(claims, alg)
    const key = (await look.read([keyOf('key', signed.kid)])).get('key', signed.kid)
    if (key !== undefined && key.state !== 'retired') return ok(signed)
    if (isFirst) await signer.refresh()
  }
  return err(staleView())
}
