// An OpenID provider for one run, on loopback. The first line of stdin is its settings, as JSON; the first line
// of stdout says where it is. After that, every line of stdin is answered with what it has counted so far.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

// Before the library is loaded, which says there how it is set up: stdout is for answers only.
console.info = console.log = console.error;
const { default: Provider } = await import('oidc-provider');

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const settings = JSON.parse((await lines.next()).value);
const counts = { requests: {}, granted: {}, refused: {} };
let answer;
const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
const listeners = {
  main: await listen('main', tls),
  // Only here are clients asked for a certificate; whose it is, the provider decides.
  mtls: await listen('mtls', {
    ...tls, ca: readFileSync(settings.ca), requestCert: true, rejectUnauthorized: false,
  }),
};
const provider = new Provider(listeners.main, configuration());
provider.on('grant.success', (ctx) => count('granted', grant(ctx)));
provider.on('grant.error', (ctx, error) => count('refused', `${grant(ctx)}: ${error.message}`));
provider.on('authorization.error', (_, error) => console.error(error));
provider.on('server_error', (_, error) => console.error(error));
answer = provider.callback();

say({ issuer: provider.issuer, alias: listeners.mtls });
for await (const _ of lines) say(counts);
process.exit();

function say(facts) {
  process.stdout.write(`${JSON.stringify(facts)}\n`);
}

function count(kind, what) {
  counts[kind][what] = (counts[kind][what] ?? 0) + 1;
}

// Which client asked for a token, how, and at which listener.
function grant(ctx) {
  const { client, params } = ctx.oidc;
  return `${client?.clientId} ${params?.grant_type} ${ctx.socket.server.listenerName}`;
}

// The origin of a new listener on a free port.
function listen(name, options) {
  const server = createServer(options, (request, response) => {
    count('requests', `${name} ${new URL(request.url, 'https://localhost').pathname.split('/')[1]}`);
    answer(request, response);
  });
  server.listenerName = name;
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(`https://127.0.0.1:${server.address().port}`));
  });
}

function configuration() {
  const minutes = (number) => number * 60;
  return {
    clients: settings.clients,
    jwks: {
      keys: [signingKey('RS256', 'rsa', { modulusLength: 2048 }), signingKey('EdDSA', 'ed25519'),
        signingKey('ES256', 'ec', { namedCurve: 'P-256' })],
    },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none', 'private_key_jwt',
      'self_signed_tls_client_auth', 'tls_client_auth'],
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn'
          && ctx.socket.getPeerX509Certificate().subject === expected,
      },
    },
    discovery: { mtls_endpoint_aliases: aliases() },
    findAccount: (_, id) => (id === settings.user ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    ttl: {
      AccessToken: settings.lifetime,
      AuthorizationCode: minutes(1),
      ClientCredentials: settings.lifetime,
      DeviceCode: minutes(5),
      Grant: minutes(60),
      IdToken: settings.lifetime,
      Interaction: minutes(5),
      RefreshToken: minutes(60),
      Session: minutes(60),
    },
  };
}

// RFC 8705 section 5: where clients with a certificate ask instead.
function aliases() {
  return {
    token_endpoint: `${listeners.mtls}/token`,
    introspection_endpoint: `${listeners.mtls}/token/introspection`,
    revocation_endpoint: `${listeners.mtls}/token/revocation`,
    device_authorization_endpoint: `${listeners.mtls}/device/auth`,
  };
}

function signingKey(alg, type, options) {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), alg, kid: alg, use: 'sig' };
}
