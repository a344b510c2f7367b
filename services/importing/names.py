"""Usual names of columns in several languages, and which field of an event each means. Pure data and its look-up.

Spellings are given without accents, spaces, signs and capitals: `Nº de pedido` is looked up as `ndepedido`. Of several
columns that could be one field, the one whose spelling stands first is taken.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence

IDENTIFIERS = {
    "customer_id": "customerid customer clientid client customernumber customerno customernr customercode userid "
    "accountid accountnumber accountno memberid membernumber contactid buyerid householdid household "
    "clienteid idcliente codcliente codigocliente codigodecliente numerocliente numerodecliente ncliente "
    "cliente kundennummer kundennr kundenid kdnr kunde debitor numeroclient noclient idclient codeclient "
    "codicecliente numerodocliente klantnummer klantnr klantid klant",
    "loyalty_card": "loyaltycard loyaltycardnumber loyaltyid loyaltynumber cardnumber cardno membercard "
    "tarjeta tarjetafidelidad tarjetacliente numerotarjeta kundenkarte kundenkartennummer kartennummer "
    "cartefidelite numerocarte tessera cartafedelta numerotessera cartaofidelidade klantenkaart",
    "email": "email emailaddress customeremail mail mailaddress correo correoelectronico emailcliente "
    "emailadresse mailadresse courriel adresseemail adressemail adresseelectronique indirizzoemail emailadres",
    "phone": "phone phonenumber customerphone telephone tel mobile mobilephone mobilenumber cell cellphone msisdn "
    "caller callernumber telefono numerodetelefono movil telefonomovil celular telefon telefonnummer handy "
    "handynummer mobil mobilnummer rufnummer numerotelephone portable telephoneportable cellulare numeroditelefono "
    "telefone telemovel telefoonnummer telefoon mobiel",
    "chat_handle": "chathandle handle whatsapp whatsappid messengerid telegramid chatid chatuser",
    "device_id": "deviceid anonymousid visitorid cookieid clientcookie sessionuser",
}
"""Identifiers of customers, in their order of strength."""

_TIMES = (
    "time datetime timestamp occurredat eventtime orderdatetime createdat created soldat purchasedat paidat "
    "date orderdate invoicedate purchasedate transactiondate saledate fechahora fecha fechapedido fechadepedido "
    "fechacompra fechadecompra fechafactura fechaventa zeitpunkt datum bestelldatum kaufdatum rechnungsdatum "
    "belegdatum erstelltam dateheure datecommande datedecommande dateachat datedachat datefacture dataora data "
    "dataordine dataacquisto datafattura datahora datapedido datadopedido datacompra datadacompra besteldatum "
    "orderdatum factuurdatum aankoopdatum day"
)
_CLOCKS = "timeofday hour hora uhrzeit zeit heure ora tijd time orderhour"
_DATES = (
    "date orderdate invoicedate purchasedate transactiondate saledate day fecha fechapedido fechacompra fechaventa "
    "datum bestelldatum kaufdatum belegdatum datecommande dateachat data dataordine datapedido besteldatum"
)

PURCHASES = {
    "order_id": "orderid ordernumber orderno ordernr order invoiceno invoicenumber invoiceid invoice basketid basket "
    "transactionid transactionno transaction receiptid receiptno receiptnumber receipt ticketid ticket saleid "
    "pedidoid idpedido numeropedido numerodepedido ndepedido npedido pedido numerofactura nfactura ndefactura factura "
    "bestellnummer bestellnr bestellung auftragsnummer auftragsnr auftrag rechnungsnummer rechnungsnr rechnung "
    "belegnummer belegnr beleg bonnummer bon numerocommande numerodecommande nocommande ncommande idcommande commande "
    "numerofacture facture numeroordine idordine ordine numerofattura fattura numeropedido numerodopedido encomenda "
    "fatura bestelnummer bestelling factuurnummer factuur",
    "time": _TIMES,
    "total": "total ordertotal grandtotal totalamount totalprice totalpaid amountpaid paid invoicetotal "
    "totalpedido totalfactura importetotal gesamtbetrag gesamtsumme gesamt rechnungsbetrag bestellwert endbetrag "
    "montanttotal totalttc totale totaleordine importototale valortotal totaalbedrag totaal "
    "linetotal lineamount salesvalue amount value importe betrag summe umsatz montant importo valor bedrag",
    "currency": "currency currencycode moneda divisa wahrung waehrung devise valuta moeda",
    "tax": "tax taxes taxamount totaltax vat vatamount impuestos impuesto iva mwst ust umsatzsteuer steuer tva btw",
    "shipping": "shipping shippingcost shippingcosts shippingfee freight delivery gastosdeenvio envio versand "
    "versandkosten fraisdeport livraison spedizione spesedispedizione portes frete verzendkosten",
    "channel": "channel saleschannel canal kanal vertriebskanal verkaufskanal canale kanaal",
    "store_id": "storeid store storenumber storeno shop shopid branch outlet tienda idtienda filiale filialnummer "
    "filialnr magasin negozio puntovendita loja winkel",
    "coupon": "coupon couponcode discountcode vouchercode voucher promocode cupon gutschein gutscheincode "
    "codepromo codicesconto cupom kortingscode",
    "payment_method": "paymentmethod paymenttype payment formadepago metododepago mediodepago zahlungsart "
    "zahlungsmethode modedepaiement moyendepaiement metododipagamento formadepagamento betaalmethode",
    "reason": "refundreason returnreason reason",
    "type": "type eventtype tipo",
    "items.sku": "sku stockcode productid productcode itemid itemcode itemno articleid articleno ean upc "
    "gtin referencia codigoarticulo codigoproducto artikelnummer artikelnr artnr produktnummer codearticle "
    "referencearticle codicearticolo codiceprodotto codigoproduto artikelcode lineitemsku product article item",
    "items.name": "itemname productname name description productdescription itemdescription lineitemname articulo "
    "nombreproducto nombrearticulo descripcion producto artikelname artikel produkt bezeichnung artikelbezeichnung "
    "nomproduit designation produit libelle nomeprodotto descrizione prodotto nomeproduto descricao produto "
    "productnaam omschrijving",
    "items.category": "category productcategory department productgroup categoria familia kategorie warengruppe "
    "produktgruppe categorie rayon reparto categoriaproduto productgroep",
    "items.quantity": "quantity qty units pieces lineitemquantity cantidad unidades uds menge anzahl stuck stueck "
    "stuckzahl quantite qte quantita qta quantidade qtd aantal hoeveelheid",
    "items.unit_price": "unitprice price itemprice lineitemprice priceeach preciounitario precio preciounidad "
    "einzelpreis stuckpreis preis prixunitaire prix prezzounitario prezzo precounitario preco stuksprijs prijs "
    "eenheidsprijs",
    "items.cost": "cost unitcost costprice coste preciocoste einkaufspreis coutunitaire prixdachat costounitario",
    "discount": "discount discountamount lineitemdiscount rebate descuento dto rabatt nachlass remise sconto desconto "
    "korting",
}
CALLS = {
    "call_id": "callid callsid uniqueid cdrid idllamada anrufid idappel idchiamata",
    "time": f"time startedat starttime calldate calldatetime start callstart beginn anrufzeit fechallamada {_TIMES}",
    "direction": "direction calldirection direccion sentido richtung sens direzione sentidodachamada richting",
    "status": "status callstatus outcome result disposition estado resultado ergebnis statut resultat stato esito",
    "duration_seconds": "durationseconds duration callduration durationsec billsec talktime duracion dauer "
    "gesprachsdauer gespraechsdauer duree durata duracao duur",
    "wait_seconds": "waitseconds waittime queuetime holdtime ringtime espera tiempodeespera wartezeit attente "
    "tempsdattente attesa tempodiattesa wachttijd",
    "topic": "topic subject motivo tema asunto thema grund anliegen sujet argomento assunto onderwerp",
    "agent_id": "agentid agent operator agente operador mitarbeiter bearbeiter operateur operatore medewerker",
    "sentiment": "sentiment sentimiento stimmung",
    "resolved": "resolved firstcontactresolution fcr resuelto resuelta gelost geloest erledigt resolu risolto",
    "csat": "csat satisfaction satisfactionscore satisfaccion zufriedenheit soddisfazione satisfacao tevredenheid",
    "cost": "cost coste kosten cout costo custo",
    "type": "type eventtype",
}
EMAILS = {
    "message_id": "messageid mailid emailid idmensaje nachrichtid idmessage",
    "time": f"time sentat receivedat eventtime {_TIMES}",
    "type": "type event eventtype action evento aktion ereignis evenement azione",
    "campaign": "campaign campaignname campaignid campana kampagne campagne campagna campanha",
    "subject": "subject asunto betreff objet oggetto assunto onderwerp",
    "link_url": "linkurl url link clickedurl",
    "bounce_type": "bouncetype bounce",
    "machine": "machine bot ismachine machineopen",
    "sentiment": "sentiment sentimiento stimmung",
}
CHATS = {
    "conversation_id": "conversationid chatid sessionid threadid idconversacion gesprachid gespraechid idconversation",
    "time": f"time sentat {_TIMES}",
    "type": "type event eventtype",
    "bot_id": "botid bot",
    "channel": "channel canal kanal canale kanaal",
    "role": "role sender author from autor absender rolle auteur mittente rol",
    "text": "text message body mensaje texto nachricht texte messaggio testo mensagem bericht",
    "intent": "intent intencion absicht intention intento",
    "sentiment": "sentiment sentimiento stimmung",
    "resolved": "resolved resuelto gelost geloest resolu risolto resolvido opgelost",
    "handed_over": "handedover escalated handover escalado transferido ubergeben uebergeben transfere",
    "duration_seconds": "durationseconds duration duracion dauer duree durata duracao duur",
    "csat": "csat satisfaction satisfaccion zufriedenheit soddisfazione satisfacao tevredenheid",
}
CUSTOMERS = {
    "time": "time updatedat modifiedat createdat created registeredat signupdate occurredat",
    "traits.name": "name fullname customername nombre nombrecompleto nombreyapellidos kundenname nom nomcomplet "
    "nomecompleto nome naam",
    "traits.first_name": "firstname givenname forename vorname prenom nombredepila primeronombre primeironome voornaam",
    "traits.last_name": "lastname surname familyname apellidos apellido nachname nomdefamille cognome sobrenome "
    "achternaam",
    "traits.birth_date": "birthdate dateofbirth dob birthday fechanacimiento fechadenacimiento geburtsdatum "
    "datenaissance datedenaissance datadinascita datanascimento geboortedatum",
    "traits.age_band": "ageband agegroup agerange altersgruppe tramodeedad trancheage",
    "traits.region": "region state province bundesland provincia comunidad departement regione",
    "traits.income_band": "incomeband income incomerange ingresos einkommen einkommensgruppe revenu reddito",
    "traits.company": "company companyname organisation organization empresa firma unternehmen entreprise societe "
    "azienda bedrijf",
    "traits.company_size": "companysize employees empleados mitarbeiterzahl effectif dipendenti",
    "traits.job_title": "jobtitle position role cargo puesto berufsbezeichnung poste qualifica functie",
    "traits.language": "language lang locale idioma sprache langue lingua taal",
    "traits.timezone": "timezone tz zonahoraria zeitzone fuseauhoraire fusoorario fusohorario tijdzone",
    "traits.contract_active": "contractactive hascontract contrato contratoactivo vertragaktiv vertrag contratactif "
    "contrattoattivo",
    "traits.preferred_channel": "preferredchannel canalpreferido bevorzugterkanal canalprefere canalepreferito",
}

FIELDS: Mapping[str, Mapping[str, str]] = {
    "purchases": PURCHASES,
    "calls": CALLS,
    "emails": EMAILS,
    "chats": CHATS,
    "customers": CUSTOMERS,
}


def plain(name: str) -> str:
    """A column name as it is looked up: without accents, capitals, spaces and signs."""
    text = unicodedata.normalize("NFKD", name.casefold().replace("ß", "ss").replace("º", "").replace("°", ""))
    return "".join(char for char in text if char.isascii() and char.isalnum())


def snake(name: str) -> str:
    """A column name as the name of a field that nobody knows: lower case with underscores."""
    text = unicodedata.normalize("NFKD", name.strip().lower().replace("ß", "ss"))
    bare = "".join(char for char in text if not unicodedata.combining(char))
    return re.sub(r"\W+", "_", bare).strip("_") or "column"


def guesses(kind: str, columns: Sequence[str], clocks: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Target by target the columns that mean it: one, or for the time a date and a time of day (one of `clocks`)."""
    spelled = {plain(column): column for column in reversed(columns)}
    found: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    pair = _date_and_clock(spelled, clocks)
    if pair is not None:
        found["time"] = pair
        taken.update(pair)
    known = {**{f"customer.{name}": words for name, words in IDENTIFIERS.items()}, **FIELDS[kind]}
    for target, words in known.items():
        column = next((spelled[word] for word in words.split() if word in spelled and spelled[word] not in taken), None)
        if column is not None and target not in found:
            found[target] = (column,)
            taken.add(column)
    return found


def _date_and_clock(spelled: Mapping[str, str], clocks: Collection[str]) -> tuple[str, str] | None:
    date = next((spelled[word] for word in _DATES.split() if word in spelled), None)
    clock = next((spelled[word] for word in _CLOCKS.split() if spelled.get(word) in clocks), None)
    return (date, clock) if date is not None and clock is not None and clock != date else None
