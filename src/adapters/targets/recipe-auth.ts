// How a recipe's calls present the admin's secret: in a header, as a password, as the key that signs an app's own token,
// or exchanged for one. What it makes of the secret goes to the tool and nowhere else (S5).

import { Buffer } from 'node:buffer'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SignJWT } from 'jose'
import { z } from 'zod'
import type { RecipeAuth } from '../../core/recipe.ts'
import type { Secret } from '../../core/secret.ts'
import type { Conversation } from './conversation.ts'
import { fillText, type Scope } from './recipe-template.ts'

/** How far a tool's clock may be behind ours. */
const SKEW_SECONDS = 60
/** RFC 6750 section 2.1: what may stand in a header, and no more than that. */
const granted = z.object({
  access_token: z
    .string()
    .regex(/^[A-Za-z0-9._~+/-]+=*$/)
    .max(8192),
  token_type: z.string().regex(/^bearer$/i),
})

const basic = (pair: string) => `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`

const formEncoded = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)

/** The headers that say who asks. */
export async function presentAdmin(
  auth: RecipeAuth,
  secret: Secret,
  talk: Conversation,
  values: Scope,
): Promise<Readonly<Record<string, string>>> {
  if (auth.kind === 'header') return { [auth.header.toLowerCase()]: auth.prefix + secret.reveal() }
  if (auth.kind === 'basic') return { authorization: basic(secret.reveal()) }
  if (auth.kind === 'app-jwt') {
    const now = Math.floor(Date.now() / 1000)
    // RFC 7519 section 4.1; RFC 7518 section 3.3.
    const token = await new SignJWT()
      .setProtectedHeader({ alg: 'RS256', typ: 'JWT' })
      .setIssuer(fillText(auth.issuer, values))
      .setIssuedAt(now - SKEW_SECONDS)
      .setExpirationTime(now + auth.seconds - SKEW_SECONDS)
      .sign(signingKey(secret, talk))
    return { authorization: `Bearer ${token}` }
  }
  // RFC 6749 section 4.4, the client as section 2.3.1 has it: both parts encoded as in a form.
  const [id = '', ...rest] = secret.reveal().split(':')
  const answer = await talk.ask({
    method: 'POST',
    path: auth.path,
    headers: { authorization: basic(`${formEncoded(id)}:${formEncoded(rest.join(':'))}`) },
    form: { grant_type: 'client_credentials', ...(auth.scope === undefined ? {} : { scope: auth.scope }) },
    changes: false,
  })
  return { authorization: `Bearer ${talk.read(answer, granted).access_token}` }
}

/** A PEM file as Base64, for a secret is one line. */
function signingKey(secret: Secret, talk: Conversation): KeyObject {
  try {
    const key = createPrivateKey(Buffer.from(secret.reveal(), 'base64').toString('utf8'))
    if (key.asymmetricKeyType === 'rsa') return key
  } catch {
    // Whatever it says could quote the key.
  }
  throw talk.failure('refused', 'the secret is no RSA private key: give its PEM file as one line of Base64')
}
