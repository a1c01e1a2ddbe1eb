// Chargé avant le proxy (node -r). Node vérifierait le certificat d'un serveur d'élève d'après le nom public que demande
// le navigateur, commun à tous ; ici, d'après l'adresse locale où il le joint, qui n'est qu'à cet élève.
const net = require('net');
const tls = require('tls');
const connect = tls.connect;
tls.connect = (options, ...rest) =>
  connect(net.isIP(options?.host ?? '') ? { ...options, servername: '' } : options, ...rest);
