// Chargé avant le proxy (node -r). Node vérifierait le certificat d'un serveur d'élève d'après le nom public que demande
// le navigateur, commun à tous ; ici, d'après l'adresse locale où il le joint, qui n'est qu'à cet élève.
const http = require('http');
const https = require('https');
const net = require('net');
const tls = require('tls');
const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect(net.isIP(options?.host ?? '') ? { ...options, servername: '' } : options, ...rest);
// Le hub croirait un navigateur qui écrit lui-même son adresse, et ne compterait plus ses mots de passe refusés.
for (const { Server } of [http, https]) {
  const { emit } = Server.prototype;
  Server.prototype.emit = function (event, request, ...rest) {
    if (event === 'request' || event === 'upgrade') delete request.headers['x-real-ip'];
    return emit.call(this, event, request, ...rest);
  };
}
// Ce que le proxy affiche, seul, tant que le hub redémarre ; sans accent, car il ne dit pas le codage.
http.STATUS_CODES[404] = http.STATUS_CODES[503] = 'Le hub revient dans quelques secondes. Rechargez alors la page.';
