// What a proxied call presents to the tool: a fixed secret of the tool's, or the secret of the grant's own account. It is
// opened here for one call and goes to the accepted upstream alone (S5); the agent never sees it.

import { LRUCache } from 'lru-cache'
import { PROXY } from '../core/limits.ts'
import { keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { Secret } from '../core/secret.ts'
import type { AdmittedCall } from './admit-call.ts'
import { issueAccount } from './issue-account.ts'
import type { Deps } from './ports.ts'

/** Opens a reference that an admin accepted; the error is a sentence for an operator. */
export type OpenSecret = (reference: string) => Result<Secret, string>

/** One header of the call. */
export type Presented = {
  readonly header: string
  readonly value: Secret
  /** Every form of the secret that the tool may not send back. */
  readonly forms: readonly string[]
}

export type ProxySecrets = {
  /** Null: the tool is called without a credential. */
  of(call: AdmittedCall, requestId: string): Promise<Result<Presented | null, Problem>>
}

type Held = { readonly account: string; readonly presented: Presented; readonly until: number }

export function createProxySecrets(deps: Deps, open: OpenSecret): ProxySecrets {
  const held = new LRUCache<string, Held>({ max: PROXY.secretsHeld })

  const ofAccount = async (call: AdmittedCall, requestId: string): Promise<Result<Presented, Problem>> => {
    const { caller, grant } = call
    const known = held.get(grant.id)
    if (known !== undefined && deps.clock.now() < known.until) {
      const account = (await deps.store.read([keyOf('account', known.account)])).get('account', known.account)
      if (account?.state === 'present') return ok(known.presented)
    }
    held.delete(grant.id)
    const input = { grant: grant.id, scopes: null, details: null, via: 'exchange' } as const
    const issued = await issueAccount(deps, caller, input, requestId)
    if (!issued.ok) return issued
    const { credential, token, use } = issued.value
    const presented = presentedAs(use ?? { header: 'Authorization', prefix: 'Bearer ' }, new Secret(token))
    if (credential.account !== undefined)
      held.set(grant.id, { account: credential.account, presented, until: credential.expiresAt })
    return ok(presented)
  }

  return {
    async of(call, requestId) {
      const { upstream, tool } = call
      if (tool.target.type !== 'none') return ofAccount(call, requestId)
      if (upstream.secret === null) return ok(null)
      const secret = open(upstream.secret)
      if (secret.ok) return ok(presentedAs(upstream, secret.value))
      deps.log.error({ tool: tool.name, why: secret.error }, "a tool's secret cannot be opened")
      return err(
        problem('internal', `The credential of ${tool.name} cannot be read here, so the call was not made.`, {
          hint: "An operator: the broker's log says why.",
          detail: secret.error,
        }),
      )
    },
  }
}

/** In the header that the manifest names. RFC 7617: what is a name and a password in the clear is encoded for `Basic`. */
export function presentedAs(
  { header, prefix }: { readonly header: string; readonly prefix: string },
  secret: Secret,
): Presented {
  const plain = secret.reveal()
  const isBasic = prefix === 'Basic ' && plain.includes(':')
  const sent = isBasic ? Buffer.from(plain, 'utf8').toString('base64') : plain
  const password = isBasic ? [plain.slice(plain.indexOf(':') + 1)] : []
  // What is too short would be found in anything.
  const forms = [sent, plain, ...password].filter((form) => form.length >= 8)
  return { header, value: new Secret(prefix + sent), forms: [...new Set(forms)] }
}
