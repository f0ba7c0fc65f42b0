// The page itself, the same for everyone and for every link: it asks for an owner's token and knows nothing else.

import { html } from 'hono/html'

export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Cache-Control': 'no-store',
}

export const shell = () => html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta name="robots" content="noindex" />
    <title>Hallpass</title>
    <link rel="stylesheet" href="/console/console.css" />
    <script type="module" src="/console/console.js"></script>
  </head>
  <body>
    <a class="skip" href="#main">Skip to the content</a>
    <header>
      <a class="brand" href="/">Hallpass</a>
      <button id="sign-out" type="button" hidden>Sign out</button>
    </header>
    <main id="main" tabindex="-1">
      <noscript><p class="notice">This page needs JavaScript. The command <code>hallpass request list</code> does the same.</p></noscript>
      <form id="sign-in" class="card" hidden>
        <h1>Sign in</h1>
        <p>Paste your owner token. It stays in this tab and is forgotten when you close it.</p>
        <label for="token">Owner token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          required
          placeholder="hp_owner_…"
          aria-describedby="token-help"
        />
        <p id="token-help" class="quiet">Whoever runs the broker makes one: <code>hallpass owner token you@example.com</code></p>
        <button class="primary" type="submit">Sign in</button>
      </form>
      <div id="view" aria-live="polite"></div>
    </main>
  </body>
</html>`
